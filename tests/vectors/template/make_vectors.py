#!/usr/bin/env python3
"""Writes vectors.json: templates, and what jinja2 makes of them. Run by hand: python3 make_vectors.py

A vector is [template, text], or [template, null] where jinja2 fails. Variables are those of VARIABLES.
"""
import json
import os
import sys

from jinja_hf import render

VARIABLES = {
    "s": "Hello, World", "u": "Grüße, ΣΊΣΥΦΟΣ 日本 🎉", "e": "", "n": 42, "neg": -7, "f": 3.75, "z": 0,
    "t": True, "fa": False, "no": None, "l": [3, 1, 2], "w": ["b", "A", "c"], "el": [],
    "d": {"b": 1, "a": [1, {"x": None}], "items": "own"}, "ed": {},
    "users": [{"name": "Bob", "age": 30, "tags": ["x"]}, {"name": "alice", "age": 25, "tags": []},
              {"name": "Carl", "age": 30, "tags": ["y", "z"]}],
    "multi": "line one\n  line two\n\nline four",
    "deep": {"a": {"b": {"c": [10, 20, {"d": "end"}]}}},
    "html": "<b>\"Tom\" & 'Jerry'</b>",
}

EXPRESSIONS = r"""
1 + 2 * 3 ** 2 | 7 // 2 | -7 // 2 | 7 % -3 | -7 % 3 | 7 / 2 | 2 ** -1 | 2 ** 10 | 7.5 // 2 | -7.5 % 2 | 1e100
1 / 3 | 0.1 + 0.2 | 1e16 | 1e15 | 123456789.123 | 1e-5 | 0.0001 | -0.0 | 5.0 | 1.0e22 | 100000000000000000.0
'a' ~ 1 ~ none ~ true ~ 1.5 | 'ab' * 3 | 3 * 'ab' | [1] * 2 | [1] + [2] | (1,) + (2, 3) | 'a' + 'b' | 'a' 'b'
1 < 2 < 3 | 1 < 2 > 3 | 1 == 1.0 | true == 1 | 'a' < 'b' | [1, 2] < [1, 3] | (1, 2) == [1, 2] | none == none
1 in [1, 2] | 4 not in l | 'ell' in s | 'b' in d | 'zz' in d | '' in 'abc' | missing in [1] | 1 in missing
not true | not 0 and 1 | 0 or 'x' | '' or 0 | 1 and 0 | none or missing or 5 | true and 'y'
1 if t else 2 | 1 if fa | (1 if fa) is undefined | 'a' if no else 'b' if t else 'c'
s[0] | s[-1] | s[1:4] | s[::-1] | s[::2] | s[-3:] | s[100] | u[0:5] | u[::-1] | u[8] | l[0] | l[-1] | l[1:] | l[::-1] | l[5]
l[-100:100] | l[2:0:-1] | range(10)[2:8:2] | range(5)[-1] | range(10)[::-1] | (1, 2, 3)[1:] | s[none:3]
d.b | d['b'] | d.items() | d['items'] | d.missing | d.a[1].x | deep.a.b.c[2].d | deep['a']['b'].c.1 | d.get('q', 5) | d.get('q')
d | d.keys() | d.values() | d.keys() | list(1) | d | ed | el | [none, true, 1.5, 'it\'s', "say \"x\"", 'both \' and "'] | (1,) | ()
{'a': 1, 2: 'b', none: 3, 1.5: 4, true: 5} | {1: 'a', true: 'b', 1.0: 'c'} | ['\n\t\\', 'ü', '\x07', '\u200b', '\u00a0']
missing | missing.x | missing[0] | missing() | missing + 1 | -missing | missing == missing2 | missing is defined
missing|length | missing|list | missing|default('d') | ''|default('d') | ''|default('d', true) | no|default('d') | no|d('x', boolean=true)
n|string | n|float | '3.7'|int | 'abc'|int | 'abc'|int(5) | '0x1F'|int(base=16) | '  12 '|int | 3.99|int | -3.99|int | '1_000'|int | '12'|float | 'x'|float(1.5) | 'inf'|float
3.75|round | 2.5|round | 3.5|round | 2.675|round(2) | 42.55|round(1, 'floor') | 42.51|round(0, 'ceil') | 1234|round(-2) | 5|round | 1250|round(-2) | 1350|round(-2)
neg|abs | f|abs | -1.5|abs | n is odd | n is even | 9 is divisibleby 3 | 9 is divisibleby(4) | 1.0 is odd
s|upper | s|lower | s|title | s|capitalize | u|upper | u|lower | u|title | 'straße'|upper | u|capitalize | "o'neil x-ray (abc)"|title | 'ﬁ'|upper | 'ΑΣ'|lower
s|length | u|length | l|length | d|length | n|length | s|count | range(7)|length | d.items()|length
s|trim | '  x '|trim | 'xxaxx'|trim('x') | ' a b '.strip() | 'aXbX'.strip('bX') | 'www.x.com'.lstrip('w.') | 'abc'.rstrip('cb') | '\u3000x\u2003'|trim
s.split() | s.split(',') | 'a,b,,c'.split(',') | 'a,b,c'.split(',', 1) | ' a  b c '.split(none, 1) | ' a  b c '.rsplit(none, 1) | 'a.b.c'.rsplit('.', 1) | ''.split() | ''.split(',') | ' a b '.split() | '1<>2<>3'.split('<>') | 'aaa'.split('aa') | 'aaa'.rsplit('aa') | 'x'.split('')
multi.splitlines() | 'a\r\nb\rc\n'.splitlines() | 'a\nb'.splitlines(true) | 'a-b-c'.partition('-') | 'a-b-c'.rpartition('-') | 'abc'.partition('-') | 'abc'.rpartition('-')
s.startswith('Hell') | s.startswith(('x', 'H')) | s.endswith('ld') | s.startswith('ello', 1) | s.endswith('Hell', 0, 4) | s.startswith(1) | s.startswith('')
s.find('o') | s.rfind('o') | s.find('zz') | s.index('o') | s.index('zz') | u.find('日') | s.count('o') | s.count('') | 'aaaa'.count('aa') | s.find('o', 5) | s.find('o', 5, 8) | s.rfind('l', 0, 4) | s.find('', 3) | s.find('', 50) | s.count('l', -3)
s.replace('o', '0') | s.replace('o', '0', 1) | 'abc'.replace('', '-') | 'abc'.replace('', '-', 2) | s|replace('l', 'L') | s|replace('l', 'L', 2) | 'a.b'.replace('.', '') | 1123|replace(1, 2)
'abc'.upper() | 'AbC'.swapcase() | 'abc'.isalpha() | '123'.isdigit() | '12a'.isalnum() | ' '.isspace() | 'ABC'.isupper() | 'abc'.islower() | ''.isdigit() | '²'.isdigit() | '²'.isdecimal() | '½'.isnumeric() | 'Ab Cd'.istitle() | 'ab'.isascii() | 'é'.isascii() | 'a\n'.isprintable()
'x'.center(5) | 'x'.center(6, '*') | 'ab'.center(5, '.') | 'abc'.center(6,'-') | 'x'.ljust(3) ~ '|' | 'x'.rjust(3) | '-5'.zfill(4) | 'a\tb'.expandtabs(4) | 'x'|center(5) ~ '|' | 'pre-x'.removeprefix('pre-') | 'x.py'.removesuffix('.py') | 'é'.center(4, 'ü')
', '.join(['a', 'b']) | ', '.join([1]) | l|join | l|join(', ') | users|join(', ', attribute='name') | 'abc'|join('-') | [1, none, 'x', missing]|join('/') | d|join
'%s is %d' % ('a', 5) | '%5.2f|%-6s|%06d|%+d|%x|%X|%o|%e|%g' % (3.14159, 'ab', 42, 5, 255, 255, 8, 12345.678, 0.0001) | '%r %s' % ('a', [1, 'b']) | '%(a)s-%(b)d' % {'a': 1, 'b': 2} | '%%' % () | '%s' % 5 | '%s' % none | '%d' % 'x' | '%s %s' % 'x' | 'x' % 5 | '%c' % 65 | '%5s|%-5s|%.2s' % ('a', 'b', 'xyz') | '%*d' % (5, 42) | '%s'|format('x') | '%s-%s'|format(1, 2) | '%(a)s'|format(a=3) | '%#x' % 255 | '% d' % 5 | '%05.1f' % -2.55 | '%d' % 3.99 | '%i' % true | '%s' % [] | '%g' % 1e20 | '%G' % 1e-10 | '%a' % 'x'
'{} {}'.format(1, 'a') | '{0} {1} {0}'.format('a', 'b') | '{x}'.format(x=5) | '{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c') | '{:05d}'.format(42) | '{:.2f}'.format(3.14159) | '{:,}'.format(1234567) | '{!r}'.format('a') | '{:x} {:#x} {:b} {:o}'.format(255, 255, 5, 8) | '{{}}'.format() | '{a[b]}'.format(a={'b': 1}) | '{:+d}'.format(5) | '{:e}'.format(12345.678) | '{:%}'.format(0.25) | '{:*^9}'.format('mid') | '{}'.format() | '{:d}'.format('x') | '{:_}'.format(1234567) | '{:10.3f}|'.format(2.5) | '{:g}'.format(0.1) | '{:{w}}|'.format('a', w=4) | '{0.a}'.format({'a': 2}) | '{:08.2f}'.format(-3.14159) | '{:,.2f}'.format(1234567.891) | '{:s}'.format('q') | '{:c}'.format(65) | '{:5}|'.format(true) | '{:>+6}'.format(3) | '{}'.format([1, 'a']) | '{:.3}'.format('abcdef') | '{:.3}'.format(2.0) | '{'.format()
l|sort | w|sort | w|sort(case_sensitive=true) | l|sort(reverse=true) | users|sort(attribute='age')|map(attribute='name')|list | users|sort(attribute='age,name')|map(attribute='name')|list | [1, 'a']|sort | d|dictsort | {'B': 2, 'a': 1}|dictsort | {'B': 2, 'a': 1}|dictsort(true) | {'B': 1, 'a': 2}|dictsort(by='value') | {'a': 1, 'b': 2}|dictsort(reverse=true) | l|min | l|max | w|min | w|max | users|max(attribute='age') | el|max | el|min is undefined
l|first | l|last | el|first | s|first | s|last | l|sum | users|sum(attribute='age') | [1.5, 2]|sum | el|sum | l|sum(start=10) | [[1], [2]]|sum(start=[]) | w|sum
l|reverse|list | s|reverse | u|reverse | [1, 1, 2, 'a', 'A']|unique|list | ['a', 'A']|unique(case_sensitive=true)|list | users|unique(attribute='age')|map(attribute='name')|list | (1, 2)|list | 'héy'|list | d|list | range(3)|list | n|list
users|map(attribute='name')|join(',') | w|map('upper')|list | w|map('replace', 'b', 'x')|list | users|map(attribute='q', default='-')|list | users|map(attribute='tags.0')|list | users|map(attribute='q')|list | l|map('nosuch')|list | l|map|list
l|select('odd')|list | l|select|list | l|reject('odd')|list | users|selectattr('tags')|map(attribute='name')|list | users|selectattr('age', 'eq', 30)|map(attribute='name')|list | users|rejectattr('age', '>', 26)|list|length | users|selectattr('age', 'gt', 26)|first | l|select('divisibleby', 3)|list | l|select('in', [1, 2])|list | no|select|list | users|selectattr('nope', 'defined')|list | l|select('nosuch')|list | (l|select('odd')) is iterable | l|select('odd')|length
[1, 2, 3, 4, 5]|batch(2)|list | [1, 2, 3]|batch(2, 0)|list | [1, 2, 3, 4, 5]|slice(2)|list | [1, 2, 3, 4]|slice(3, 'x')|list | users|groupby('age') | users|groupby('age')|map(attribute='grouper')|list | users|groupby('q', default='n')|list|length | users|groupby('name')|map('first')|list
d|tojson | l|tojson | s|tojson | u|tojson | u|tojson(ensure_ascii=true) | d|tojson(indent=2) | el|tojson(indent=4) | ed|tojson(indent=2) | {'b': 1, 'a': 2}|tojson(sort_keys=true) | l|tojson(separators=(',', ':')) | [1.0, 1e-7, 99.9, 1e100, none, true, 'a"b\\\n\x01/']|tojson | {1: 'a', none: 1, true: 2, 1.5: 3}|tojson | missing|tojson | (1, 2)|tojson | range(3)|tojson | deep|tojson(indent='\t') | deep|tojson(indent=0) | html|tojson | '\x7f'|tojson | '\x7f'|tojson(ensure_ascii=true) | d.items()|tojson | 'inf'|float|tojson | {'a': {}}|tojson(indent=2) | [[], [1]]|tojson(indent=1) | {(1, 2): 3}|tojson | d|tojson(2)
html|e | html|escape | html|forceescape | (html|e)|e | html|safe | html|striptags | (html|safe) + '<' | '<' + ('>'|safe) | ('a'|safe) ~ '<' | ('%s'|safe) % '<' | 'a b/c?d=é'|urlencode | {'a': 'x y', 'b': '/'}|urlencode | {'class': 'x', 'id': none, 'q': '"'}|xmlattr | {'a': 1}|xmlattr(false) | ('<'|e).upper() | (html|e)|length | html|safe is escaped | ['<', '>'|safe]|join('&') | ('x'|safe).replace('x', '<') | '<!-- c --> a  b'|striptags
multi|indent | multi|indent(2) | multi|indent(2, true) | multi|indent(2, blank=true) | multi|indent('> ') | 'x'|indent | ''|indent | 'a\n'|indent | s|wordcount | s|truncate(5) | s|truncate(9, true) | 'foo bar baz qux'|truncate(9) | 'foo bar baz qux'|truncate(11) | 'foo bar baz qux'|truncate(11, false, '..', 0) | s|truncate(2) | 'the quick brown fox jumps'|wordwrap(10) | 'abcdefghijkl mn'|wordwrap(5) | 'a-b well-known fact'|wordwrap(6) | 'aa bb\ncc dd ee'|wordwrap(5) | 'xx yyyyyyyyyy'|wordwrap(4, false)
1|filesizeformat | 999|filesizeformat | 1000|filesizeformat | 1536|filesizeformat(true) | 123456789|filesizeformat | 1e30|filesizeformat | l|pprint | {'b': 1, 'a': 2}|pprint | s|pprint | d|attr('keys') is callable | d|attr('b') | s|attr('nope') | n|attr('real')
l is sequence | s is sequence | d is sequence | n is sequence | missing is sequence | d.items() is sequence | l is iterable | n is iterable | missing is iterable | d is mapping | l is mapping | s is string | n is number | t is number | t is integer | f is float | n is integer | t is boolean | no is none | missing is none | s is callable | range is callable | d.get is callable | n is eq 42 | n is ne 42 | n is lt 50 | n is ge(42) | n is sameas 42 | t is sameas true | no is sameas none | 1 is in [1] | 'a' is in 'abc' | 'x' is upper | 'X' is upper | 'x' is lower | 'tojson' is filter | 'nosuch' is filter | 'odd' is test | t is true | fa is false | 1 is true | n is nosuch | n is not odd | n is defined and n is not none | users[0].name is string | 'a' is in ('a', 'b') | [] is not defined | 1 is true or 2
range(3) | range(1, 10, 3)|list | range(5, 0, -2)|list | range(0)|list | range(1000000) | range(1, 2, 0) | dict(a=1, b=2) | dict([('x', 1)]) | dict({'q': 1}, z=2) | namespace(a=1).a | namespace(a=1) | namespace(a=1)['a'] | namespace().b | joiner()() | cycler(1, 2).next() | cycler() | strftime_now('%Y-%m-%d') | strftime_now('%d %b %Y') | strftime_now('%A %B %-d %H:%M:%S %p %j %y %I %U %W %u %w %G %V %% %e %a %x %X %c %D %F %T %R') | raise_exception('no ' ~ n) | dict(1) | range('a')
d.__class__ | d._x | s.__len__ | l.append(1) | d.update({}) | d.pop('b') | l.index(1) | l.index(9) | l.count(3) | (1, 2).index(2) | (1, 2, 1).count(1) | l.pop | l.append is defined | l.sort() | d.copy() | l.copy() | d.items | s.foo | n.foo | n.real | f.imag | t.numerator | no.x | no['x'] | no[1:] | n[0] | n[1:] | l['a'] | l.0 | d[[1]] | d[1:2] | s['upper']() | none.x.y | l[true] | l[1.0] | s[none]
f(1) | s() | n() | d() | 1 + 'a' | 'a' + 1 | [1] + 'a' | [1] + (2,) | {} + {} | none + 1 | -'a' | +'a' | 1 // 0 | 1 % 0 | 1 / 0 | 1.0 // 0 | 0 ** -1 | 'a' < 1 | none < 1 | [] < {} | 1 in 5 | 1 in 'a' | none in 'a' | [1] in {} | {[1]: 2} | 'a' - 'b' | not 'a' + 'b' | 5 - true | true + true | 1 if 2 < 1 | [1, 2] is eq [1, 2]
9223372036854775807 | -9223372036854775807 - 1 | 1_000_000 | 0xff | 0b101 | 0o17 | 1_0.5_0 | 1e3 | 1.5e-3 | 00 | 2 if 1 else 3 if 0 else 4 | 10 - 2 - 3 | 2 ** 3 ** 2 | -2 ** 2 | 100 // 7 // 2 | 1 - -1 | 'a' ~ 'b' * 2 | 1 + 1 ~ 2 | 1 ~ 1 + 1 | not 1 == 2 | 1 == 1 == 1 | (1 < 2) < 3 | l|first + 1 | -neg|abs | 2 * l|length | users[0]['name'][0]|lower ~ '!'
[1,2,3,]|length | {'a':1,}|length | (1,2,)|length | [x for x in l] | lambda | 1 + | (1 | [1, | {'a' | 'abc | 1 ? 2 | a.b. | a[ | a|  | a is | | x y | 1 2
l|map('string')|map('upper')|join('+') | users|map(attribute='name')|map('lower')|sort|join(' ') | [[1, 2], [3]]|map('sum')|list | [[3, 1], [2]]|map('sort')|list | ['a', 'b']|map('indent', 2, true)|list | l|map('default', 5)|list | {'a': 1}.items()|map('join', '=')|list | {'a': 1}|items|list | missing|items|list | l|items|list | [missing]|map('default', 'q')|list | [' a ']|map('trim')|list | ['a']|map('tojson')|list
loop | caller | varargs | super() | "a\"b" | 'a\'b' | "tab\there" | 'nl\nx' | '\x41\u0042\101' | '\q' | "\
" | 'a
b' | '\u00e9' | '\ud83d\ude00'|length > 0 | '{{' | '%}' | "#}" | '\N{DASH}' | '\'
""".strip("\n")

TEMPLATES = [
    "{{ '{:+}'.format('a') }}",
    "{{ '{:=5}'.format('a') }}",
    "{{ '{:,}'.format('a') }}",
    "{{ '{:05}'.format('a') }}",
    "{{ '{:#}'.format('a') }}",
    "{{ '%+s|%#s|% 5s|%05s' % ('a','b','c','d') }}",
    '{{ 9223372036854775807|round(-1) }}',
    '{{ -9223372036854775807|round(-3) }}',
    "{{ '{:>+5}'.format(3) }}",
    "{{ [{'b': 1, 'a': 2}]|pprint }}",
    "{{ [('a'|e)|indent(2, true)] }} {{ [('abcdefgh'|e)|truncate(5, leeway=0)] }} {{ ()|first|last is defined }}",
    '{% for i in [1, 2, 3] %}{{ k }}{% set k = i %}{{ k }}{% endfor %}',
    '{% for i in [1, 2, 3, 4] if i is odd %}{{ loop.last }}{% set z = i %}{% endfor %}{{ z }}',
    "{{ 'x' % missing }}",
    "{{ '%s' % missing }}",
    "{{ '%s' % l.append }}",
    "{{ '%(a)s' % missing }}",
    "{{ '%d' % missing }}",
    '{{ l.pop|int }}',
    '{{ missing|int }}',
    '{{ missing|float }}',
    '{{ l.pop|float }}',
    '{{ l.pop|abs }}',
    '{{ l.pop + 1 }}',
    '{{ [1, 2, 3].pop() }}',
    '{{ l.append(1) }}',
    '{{ l.pop == missing }}',
    '{{ l.pop|list }}',
    '{{ l.pop is defined }}',
    '{{ l.pop.x }}',
    '{{ l.pop }}{{ l.pop|length }}',
    '{{ d.update }}{{ d.pop is callable }}',
    '{{ missing|list }}{{ missing|sum }}{{ missing|join }}{{missing|first}}',
    '{{ missing|round }}',
    '{{ missing < 1 }}',
    '{{ not missing }}{{ missing == none }}{{ missing in [missing] }}',
    '{{ -missing }}',
    '{{ missing ** 2 }}',
    "{{ 'a' if missing.x is defined }}",
    '{{ 5|nosuch }}',
    '{{ 5|nosuch if false }}',
    '{% if false %}{{ 5|nosuch }}{% endif %}',
    '{% if false %}{{ 5 is nosuch }}{% endif %}',
    '{% if true %}{{ 5|nosuch if false else 1 }}{% endif %}',
    "{% if false %}{{ 'nosuch' is filter and 5|nosuch }}{% endif %}",
    '{% macro m() %}{{ 5|nosuch }}{% endmacro %}a',
    '{% if true %}a{% else %}{{ 5|nosuch }}{% endif %}',
    '{% for x in [] %}{{ 5|nosuch }}{% endfor %}a',
    '{% for x in [] %}{% if x %}{{ 5|nosuch }}{% endif %}{% endfor %}a',
    '{{ (5|nosuch) if false else 2 }}',
    '{{ 1 if true else 5|nosuch }}',
    '{{ 1 if 5 is nosuch else 2 }}',
    '{% filter nosuch %}x{% endfilter %}',
    '{% if false %}{% filter nosuch %}x{% endfilter %}{% endif %}',
    '{% set x | nosuch %}x{% endset %}',
    '{% if false %}{% for x in y|nosuch %}{% endfor %}{% endif %}a',
    '{% if true %}{% set ns = 1 %}{% elif 1|nosuch %}{% endif %}a',
    "{{ [1]|map('nosuch') is defined }}",
    "{{ [1]|map('nosuch')|list }}",
    '{% set m = [1, 2, 3, 4] %}{{ m.pop() }}{{ m.pop(0) }}{{ m.pop(-1) }}{{ m }}{{ m.pop(5) }}',
    '{% set m = [1, 2, 3, 4] %}{% set k = m|list %}{{ m.pop(1) }}{{ m }}{{ k }}{{ m.clear() }}{{ m }}{{ k.copy() }}',
    '{{ 12345678901234567890 }} {{ 12345678901234567890|tojson }} {{ [-98765432109876543210] }} {{ 9223372036854775807 + 1 }} {{ -9223372036854775807 - 2 }} {{ 4294967296 * 4294967296 }} {{ 2 ** 100 }}',
    "{{ '123456789012345678901234567890'|int }} {{ 1e25|int }} {{ 10 ** 20 % 7 }} {{ 10 ** 20 is odd }} {{ 10 ** 20 == 1e20 }} {{ 10 ** 20 < 1e21 }} {{ -(10 ** 20) }} {{ (10 ** 20)|abs }} {{ 10 ** 20 is integer }}",
    "{{ '%d|%30d' % (10 ** 20, -(10 ** 20)) }} {{ '{:,}'.format(10 ** 20) }} {{ 10 ** 20 / 3 }} {{ (10 ** 20)|float }} {{ {10 ** 20: 1}[1e20] }} {{ 'abc'[10 ** 20:] }} {{ 'abc'.find('c', 10 ** 20) }}",
    "{{ 'straße ΣΊΣΥΦΟΣ'.casefold() }} {{ 'ab_1'.isidentifier() }} {{ '1a'.isidentifier() }} {{ ''.isidentifier() }}",
    "{{ 'a'|wordwrap(1) }}{{ 'ß'|center(12)|wordwrap(5, wrapstring='|') }} {{ 'a--b c-d well-known-fact it--is'|wordwrap(6, wrapstring='|') }} {{ 'x - y -- zz'|wordwrap(3, wrapstring='|') }} {{ '  ab\\n\\n cd  '|wordwrap(3, false, '|') }} {{ 'abcdefgh-ij kl'|wordwrap(9, wrapstring='|', break_on_hyphens=false) }} {{ 'aa-bb-cc-dd-ee'|wordwrap(4, wrapstring='|') }} {{ '123-456-789'|wordwrap(4, wrapstring='|') }}",
    "{{ range(3)[::2] }} {{ range(9)[1:5] }} {{ range(10, 0, -3)[::-1] }} {{ ('<'|e).partition('l') }} {{ ('<'|e)|replace('l', 'm') }} {{ [('<'|e)|replace('l', 'm')] }}",
    '{{ dict(missing) }}',
    "{{ (0.04 - 0.05)|round(0, 'ceil') }} {{ -0.0|filesizeformat }} {{ [] is filter }}",
    '{% macro m() %}{{ caller }}{% endmacro %}{% call m() %}x{% endcall %}',
    '{% generation %}{{ varargs }}{{ kwargs }}{% endgeneration %}{{ varargs }}',
    '{% for x in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}',
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}",
    "{% for x in l if x != 1 %}{{ loop.index }}/{{ loop.length }}{{ loop.last }}:{{ x }} {% endfor %}",
    "{% for x in el %}a{% else %}none{% endfor %}", "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% else %}E{% endfor %}", "{% for x in l %}{% break %}{% else %}E{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1,)] %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for x in 5 %}{% endfor %}", "{% for x in none %}{% endfor %}", "{% for x in missing %}a{% else %}b{% endfor %}",
    "{% for c in 'aü' %}[{{ c }}]{% endfor %}", "{% for x in l recursive %}{{ x }}{% endfor %}",
    "{% for n in [{'v': 1, 'c': [{'v': 2, 'c': []}]}] recursive %}{{ n.v }}@{{ loop.depth }}{{ loop.depth0 }}({{ loop(n.c) }}){% endfor %}",
    "{% for x in l %}{{ loop(l) }}{% endfor %}", "{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in l %}{{ loop.cycle() }}{% endfor %}",
    "{% for x in l %}{% for y in [1] %}{{ loop.length }}{% endfor %}{{ loop.index }}{% endfor %}{{ loop }}",
    "{% set x = 1 %}{% for y in l %}{% set x = x + y %}{{ x }}{% endfor %}{{ x }}", "{% set ns = namespace(x=0) %}{% for y in l %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{% set ns.c = [1] %}{{ ns }}", "{% set d.x = 1 %}", "{% set q.x = 1 %}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set a, b = [1] %}",
    "{% set x %}in {{ n }}{% endset %}{{ x|upper }}", "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x | replace('a', 'b') | upper %}abc{% endset %}{{ x }}", "{% set x %}{% set y = 1 %}{% endset %}{{ y }}",
    "{% if t %}a{% elif fa %}b{% else %}c{% endif %}", "{% if fa %}a{% elif t %}b{% else %}c{% endif %}", "{% if e %}a{% else %}c{% endif %}", "{% if t %}{% set q = 1 %}{% endif %}{{ q }}", "{% if %}{% endif %}", "{% if t: %}x{% endif: %}", "{% if t: %}x{% endif %}",
    "{% macro m(a, b=2, *c) %}{% endmacro %}", "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }},{{ m(1, 3) }},{{ m(b=5, a=4) }},{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(q=2) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(7) }}", "{% macro m(b=q) %}{{ b }}{% endmacro %}{% set q = 3 %}{{ m() }}", "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}body {{ n }}{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b=5) m() %}{{ a }}{{ b }}{% endcall %}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{% if n > 0 %}{{ n }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(5) }}", "{% macro m() %}{% set x = 5 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}", "{{ m }}{% macro m() %}{% endmacro %}{{ m }}{{ m.name }}", "{% macro m(a) %}{{ n }}{{ a|upper }}{% endmacro %}{{ m('q')|length }}", "{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{{ m() }}{% macro m() %}{% endmacro %}",
    "{% macro inf() %}{{ inf() }}{% endmacro %}{{ inf() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'a': 2}) }}", "{% call n %}{% endcall %}", "{% macro m(loop) %}{{ loop }}{% endmacro %}{{ m(1) }}",
    "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x }}", "{% with a = 1, b = a %}{{ b }}{% endwith %}", "{% with n = 1 %}{{ n }}{% endwith %}{{ n }}", "{% with a, b = (1, 2) %}{{ a }}{{ b }}{% endwith %}",
    "{% filter upper %}abc {{ s }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}aac{% endfilter %}", "{% filter nosuch %}{% endfilter %}", "{% generation %}x{{ n }}{% endgeneration %}", "{% generation %}{% set x = 1 %}{% endgeneration %}{{ x }}",
    "{% raw %}{{ x }}{% y %}{% endraw %}", "a {%- raw -%} b {%- endraw -%} c", "{# c #}a{#- c -#} b", "{# {{ x }} {% %} #}z", "  {# c #}\nx", "  {% if t %}\n  y\n  {% endif %}\nz", "a\n\n{%- if t %}\n\nb{% endif -%}\n\n c", "a {%+ if t %}b{% endif %}", "  {%+ if t %}x{% endif +%}\ny", "{{ n -}}  x {{- n }}", "x\n  {{ n }}\n", "x\n\n", "\r\na\r\nb\rc", "{% if t %}\n\n x{% endif %}\n\n", "\t {% if t %}a{% endif %} \t\nb", "{{ '{{' }} }}", "{ { % }", "{{ {'a': {'b': 1}} }}", "{{ {'a': {'b': 1}}}}", "}} %} #}",
    "{% print 1, 'a' %}", "{% block a %}x{{ n }}{% endblock %}", "{% block a %}x{% endblock a %}", "{% autoescape false %}{{ html }}{% endautoescape %}", "{% include 'x' %}", "{% if fa %}{% include 'x' %}{% endif %}k", "{% import 'x' as y %}", "{% extends 'x' %}", "{% nosuch %}", "{% endif %}", "{% if t %}", "{% for x in l %}", "{{ 1", "{% if", "{# x", "{% raw %}x", "{% break %}", "{% do x %}", "{% set %}", "{% set 1 = 2 %}", "{% set x.y.z = 2 %}", "{% for 1 in l %}{% endfor %}", "{% for x.y in l %}{% endfor %}", "{% for x in l %}{% set loop = 1 %}{% endfor %}", "{{ x = 1 }}", "{% set loop = 3 %}{{ loop }}", "{% set x = %}",
    "{% for x in range(3) %}{{ x }}{{ ',' if not loop.last }}{% endfor %}", "{%- for m in users -%}{{ m.name }}{%- if not loop.last %}, {% endif -%}{%- endfor -%}", "{% set c = cycler('a', 'b') %}{% for x in l %}{{ c.next() }}{{ c.current }}{% endfor %}{% set _ = c.reset() %}{{ c.current }}", "{% set j = joiner('|') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}",
    "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}", "{% set g = l|select('odd') %}{{ 1 if g else 2 }}{{ g|first }}{{ g|first }}{{ g|first }}", "{% for x in l|reverse %}{{ x }}{{ loop.length }}{% endfor %}", "{% for a in users|groupby('age') %}{{ a.grouper }}:{{ a.list|length }} {% endfor %}", "{% for g, us in users|groupby('name') %}{{ g }}{{ us|length }}{% endfor %}", "{% set f = s.upper %}{{ f() }}", "{% set ns = namespace(f=false) %}{% for x in l if not ns.f %}{% set ns.f = true %}{{ x }}{% endfor %}", "{% for x in l if loop.index > 1 %}{{ x }}{% endfor %}", "{% for x in x2|default([1]) %}{{ x }}{% endfor %}", "{% for x in l %}{{ x }}{% set l = [9] %}{% endfor %}{{ l }}", "{% set n = n + 1 %}{{ n }}", "{% for i in l %}{% if i == 3 %}{% set n = 0 %}{% endif %}{{ n }}{% endfor %}", "{% set items = d.items()|list %}{{ items[0] }}{{ items }}", "{{ d.items()[0] }}", "{{ (d.items()|list)[0][1] }}", "{% set x = [] %}{% set _ = x.append(1) %}{{ x }}", "{{ users|map(attribute='name')|list|tojson }}", "{% for u in users if u.age == 30 %}{{ loop.index }}{{ u.name }}{{ loop.previtem.name if loop.previtem }}{% endfor %}", "{{ [[1, 2], [3]]|sum(start=[]) }}", "{% set x = namespace() %}{% set x.y = x %}{{ x.y.y is sameas x }}", "{{ [1, 2, 3][1:] + [4] }}", "{{ 'a,b'.split(',')[1] }}", "{{ '%s' % (n,) }}", "{%set x=1%}{{x}}", "{{n}}{{ n}}{{n }}", "{% if n is not none and n > 3 and s.startswith('H') %}ok{% endif %}", "{{ (n, s)[1] }}", "{{ n if n else missing.x }}", "{{ '' if t else missing.x }}", "{{ missing.x if fa else 'ok' }}", "{% if missing and missing.x %}a{% else %}b{% endif %}", "{{ d.a[1]['x'] is none }}", "{%- set ns = namespace(found=false, idx=-1) -%}{%- for x in l -%}{%- if x == 2 -%}{%- set ns.found = true -%}{%- set ns.idx = loop.index0 -%}{%- endif -%}{%- endfor -%}{{ ns.found }} {{ ns.idx }}", "{% macro a() %}{% call b() %}{{ caller() }}{% endcall %}{% endmacro %}{% macro b() %}<{{ caller() }}>{% endmacro %}{% call a() %}z{% endcall %}",
]


def main():
    sources = []
    for line in EXPRESSIONS.split("\n"):
        sources += ["{{ " + part.strip(" ") + " }}" for part in line.split(" | ")]
    rows = []
    for source in sources + TEMPLATES:
        text, error = render(source, VARIABLES)
        if text is not None and (" object at 0x" in text or " of dict object" in text):
            continue
        if text is not None and any(0xD800 <= ord(c) < 0xE000 for c in text):
            continue
        rows.append([source, text])
    out = {"variables": VARIABLES, "vectors": rows}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write('{"variables": ' + json.dumps(out["variables"], ensure_ascii=False) + ',\n"vectors": [\n')
        f.write(",\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
        f.write("\n]}\n")
    print(len(rows), "vectors", sum(r[1] is None for r in rows), "errors", file=sys.stderr)


if __name__ == "__main__":
    main()
