#!/usr/bin/env python3
"""Chat templates over random conversations, rendered by jinja2 and by ours, and compared.

    /usr/bin/python3 tests/fuzz/template_chats.py --batch build/dev/tests/template_batch [--cases 200] FOLDER_OR_FILE...

Needs python3-jinja2. Takes every *.jinja of a folder, and files of any name. A text must be equal, an error
must be one on both sides, and the message of raise_exception equal. Exit 1 if something differs.
"""
import argparse
import datetime
import glob
import os
import random
import sys
import warnings

import jinja2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vectors/template"))
from jinja_hf import environment  # noqa: E402
from template_diff import Batch  # noqa: E402

NOW = datetime.datetime(2026, 3, 14, 15, 9, 26)
TEXTS = ["Hello!", "", " ", "What's 2 + 2?\n", "  padded  ", "Grüße, 日本語 🎉", "<think>hmm</think>Answer", "<think>\nwell\n</think>\n\nYes.",
         "</think>late", "a<think>b", "{\"a\": 1}", "line one\nline two\n\n", "<|im_start|>user", "[INST] x [/INST]", "{{ x }}", "it's \"quoted\" \\ \t tab",
         "/no_think hi", "/think", "<tool_response>r</tool_response>", "<tool_call>{}</tool_call>", "\u200b", "x" * 200, "<b>&amp;</b>", "42",
         "You are a helpful assistant.", "<|START_THINKING|>a<|END_THINKING|>b", "[THINK]a[/THINK]b", "/system_override Be terse."]
SCALARS = [0, 1, -3, 42, 2.5, 1e-7, 1e22, 0.1, -0.0, 100.0, True, False, None, "", "x", "ünï", "a\"b\\c\n", 9007199254740993, 2**63, -2**70, 10**30,
           "2024-01-01", "<x>&'"]
NAMES = ["get_weather", "search", "add_numbers", "x", "ns.tool", "Ünî", "browser", "python"]


class Chat:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.calls = 0

    def value(self, depth):
        r = self.r
        kind = r.random()
        if depth <= 0 or kind < 0.6:
            return r.choice(SCALARS)
        if kind < 0.8:
            return [self.value(depth - 1) for _ in range(r.randint(0, 3))]
        return {r.choice(["a", "b", "city", "ü", "key with space", "$ref", "items", "type", "x" * 20]): self.value(depth - 1) for _ in range(r.randint(0, 3))}

    def arguments(self):
        return {r: self.value(2) for r in self.r.sample(["city", "unit", "n", "flag", "opts", "list", "ü", "items"], self.r.randint(0, 4))}

    def schema(self, depth):
        r = self.r
        kind = r.choice(["string", "integer", "number", "boolean", "array", "object", "enum", "union", "anyOf", "none", "odd", "ref", "nullable"])
        out = {"type": kind}
        if kind == "array":
            out = {"type": "array"}
            if r.random() < 0.8:
                out["items"] = self.schema(depth - 1) if depth > 0 else {"type": "string"}
        elif kind == "object":
            out = self.parameters(depth - 1) if depth > 0 else {"type": "object"}
        elif kind == "enum":
            out = {"type": "string", "enum": ["a", "b", "ü"]}
        elif kind == "union":
            out = {"type": ["string", "null"]}
        elif kind == "anyOf":
            out = {r.choice(["anyOf", "oneOf"]): [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}
        elif kind == "none":
            out = {}
        elif kind == "odd":
            out = {"type": "integer", "minimum": 0, "maximum": 1e3, "exclusiveMinimum": 2.5}
        elif kind == "ref":
            out = {"$ref": "#/$defs/Thing"}
        elif kind == "nullable":
            out = {"type": "string", "nullable": True, "format": "date"}
        if r.random() < 0.6:
            out["description"] = r.choice(["The city", "", "two\nlines", "über 'x' \"y\"", "ends with."])
        if r.random() < 0.25:
            out["default"] = r.choice(SCALARS + [[], {}, [1, "a"]])
        if r.random() < 0.1:
            out["examples"] = [r.choice(SCALARS)]
        return out

    def parameters(self, depth):
        r = self.r
        names = r.sample(["city", "unit", "n", "flag", "opts", "list", "ü"], r.randint(0, 4))
        out = {"type": "object", "properties": {n: self.schema(depth) for n in names}}
        if r.random() < 0.7:
            out["required"] = r.sample(names, r.randint(0, len(names)))
        if r.random() < 0.2:
            out["additionalProperties"] = r.choice([False, True, {"type": "string"}])
        if r.random() < 0.1:
            out["$defs"] = {"Thing": {"type": "object", "properties": {"q": {"type": "string"}}}}
        return out

    def tool(self):
        r = self.r
        function = {"name": r.choice(NAMES), "description": r.choice(["Gets the weather.", "", "Multi\nline", "ü \"q\""]), "parameters": self.parameters(2)}
        if r.random() < 0.08:
            del function[r.choice(["description", "parameters"])]
        if r.random() < 0.1:
            function["return"] = {"type": "string", "description": "r"}
        if r.random() < 0.1:
            function["strict"] = r.choice([True, False])
        if r.random() < 0.06:
            return function
        out = {"type": "function", "function": function}
        if r.random() < 0.03:
            out["type"] = r.choice(["code_interpreter", "builtin"])
        return out

    def content(self):
        r = self.r
        kind = r.random()
        if kind < 0.72:
            return r.choice(TEXTS)
        if kind < 0.80:
            return None
        if kind < 0.97:
            parts = [{"type": "text", "text": r.choice(TEXTS)} for _ in range(r.randint(0, 3))]
            if r.random() < 0.25:
                parts.insert(0, r.choice([{"type": "image"}, {"type": "image_url", "image_url": {"url": "data:x"}}, {"type": "video"}, {"type": "audio", "audio": "u"},
                                          {"type": "input_audio"}, {"text": "no type"}, {"type": "thinking", "thinking": "t"}, "bare"]))
            return parts
        return r.choice([5, {"a": 1}, [], True, 2.5])

    def call(self):
        r = self.r
        self.calls += 1
        function = {"name": r.choice(NAMES), "arguments": self.arguments()}
        if r.random() < 0.15:
            function["arguments"] = r.choice(["{\"city\": \"Paris\"}", "", "not json", None, [], "{\"a\": 1e400}"])
        out = {"id": r.choice([f"call{self.calls:05d}", f"functions.x:{self.calls}", "abcdefghi"]), "type": "function", "function": function}
        if r.random() < 0.12:
            del out[r.choice(["id", "type"])]
        if r.random() < 0.08:
            return function
        return out

    def message(self, role):
        r = self.r
        out = {"role": role}
        if r.random() < 0.98:
            out["content"] = self.content()
        if role == "assistant":
            if r.random() < 0.4:
                out["tool_calls"] = [self.call() for _ in range(r.choice([0, 1, 1, 1, 2, 3]))]
                if r.random() < 0.5:
                    out["content"] = r.choice([None, "", "Let me look."])
            for name, chance in (("reasoning_content", 0.25), ("thinking", 0.1), ("reasoning", 0.1)):
                if r.random() < chance:
                    out[name] = r.choice(["I think.", "", None, "a\nb\n", "  z "])
            if r.random() < 0.05:
                out["prefix"] = r.choice([True, False])
        if role in ("tool", "ipython", "function", "observation"):
            if r.random() < 0.7:
                out["tool_call_id"] = r.choice([f"call{max(self.calls, 1):05d}", "abcdefghi", f"functions.x:{self.calls}"])
            if r.random() < 0.6:
                out["name"] = r.choice(NAMES)
            if r.random() < 0.15:
                out["content"] = r.choice([{"temp": 20.5, "ok": True}, [1, 2], [{"output": "o"}], 22, [{"type": "tool_reference", "name": "search"}]])
        if r.random() < 0.04:
            out["name"] = "bob"
        if r.random() < 0.03:
            out["tools"] = [self.tool()]
        return out

    def messages(self):
        r = self.r
        kind = r.random()
        roles = []
        if kind < 0.03:
            return []
        if kind < 0.75:  # in order
            roles += ["system"] if r.random() < 0.5 else ["developer"] if r.random() < 0.15 else []
            for _ in range(r.randint(1, 3)):
                roles.append("user")
                if r.random() < 0.85:
                    roles.append("assistant")
                    if r.random() < 0.4:
                        roles += ["tool"] * r.choice([1, 1, 2]) + (["assistant"] if r.random() < 0.7 else [])
        else:
            roles = r.choices(["system", "user", "assistant", "tool", "developer", "ipython", "function", "observation", "odd", None],
                              [4, 9, 8, 5, 2, 1, 1, 1, 1, 0.3], k=r.randint(1, 6))
        return [self.message(role) for role in roles]

    def variables(self):
        r = self.r
        out = {"messages": self.messages(), "tools": r.choice([None, None, None, [], 1]), "documents": None,
               "add_generation_prompt": r.random() < 0.6, "bos_token": r.choice(["<s>", "<|begin_of_text|>", "", None]), "eos_token": r.choice(["</s>", "<|im_end|>", ""])}
        if out["tools"] == 1:
            out["tools"] = [self.tool() for _ in range(r.randint(1, 3))]
        extra = {
            "enable_thinking": [True, False, None, "yes"], "reasoning_effort": ["low", "medium", "high", "none", "", None, "max", "minimal"], "thinking": [True, False, "low"],
            "documents": [[{"title": "T", "text": "body"}, {"title": "Ü", "contents": "c"}], [], [{"doc_id": 3, "text": "x", "extra": 1.5}], [{"data": {"title": "a", "snippet": "b"}}]],
            "builtin_tools": [["browser", "python"], [], ["code_interpreter"], None], "date_string": ["26 Jul 2024", None], "xml_tools": [[{"type": "function"}], "x", None],
            "python_tools": [["f"], None], "tools_in_user_message": [True, False], "custom_tools": [None, []], "model_identity": ["You are X.", ""], "system_prompt": ["S", ""],
            "conversation_start_date": ["2025-06-28"], "knowledge_cutoff": ["2024-06"], "thinking_budget": [0, 512, -1, 100000], "clear_thinking": [True, False],
            "preserve_thinking": [True, False], "add_vision_id": [True, False], "safety_mode": ["STRICT", "NONE", "contextual"], "citation_mode": ["fast", "accurate"], "citations": ["on"],
            "controls": [{"length": "short"}, {}], "available_tools": [["x"], []], "functions": [[{"name": "f", "description": "d", "parameters": {"properties": {}}}], "[]"], "datetime": ["now"],
            "keep_past_thinking": [True, False], "drop_thinking": [True, False], "thinking_mode": ["thinking", "chat"], "use_default_prompt": [True], "today": ["x"], "deliberation": [True],
            "skills": [[], None], "platform": ["p"], "grounding": ["enabled", "disabled"], "response_format": [{"type": "json_object"}, None], "truncate_history_thinking": [True, False],
            "system_message": ["sys"], "special_instructions": ["si"], "render_assistant_messages_raw": [True, False], "is_last": [1], "unk_token": ["<unk>"], "pad_token": ["<pad>"],
            "tool_choice": ["auto", "none", {"type": "function", "function": {"name": "search"}}], "json_schema": [{"type": "object"}], "developer_instructions": ["d"], "tool_calls": [[]],
        }
        for name in r.sample(sorted(extra), r.choice([0, 0, 1, 2, 4, 8])):
            out[name] = r.choice(extra[name])
        if r.random() < 0.02:
            del out[r.choice(["bos_token", "eos_token", "tools", "add_generation_prompt"])]
        return out


def oracle(template, variables):
    """(text, None), or (None, message of raise_exception or "" for any other failure)"""
    try:
        return template.render(**variables), None
    except Exception as e:  # any failure is a result
        return None, str(e) if type(e) is jinja2.exceptions.TemplateError else ""


def compare(batch, source, template, variables):
    """None where they agree, else what differs."""
    want, message = oracle(template, variables)
    status, got = batch.render(source, variables, NOW)
    if want is not None and status == 0 and got == want:
        return None
    if want is None and (got == message if status == batch.EINVAL else message == "" and status not in (None, 0)):
        return None
    return f"want {want if want is not None else 'error ' + repr(message)!r}\n    got  {status} {got!r}"


def sources(paths):
    for path in paths:
        files = sorted(glob.glob(os.path.join(path, "*.jinja"))) if os.path.isdir(path) else [path]
        for file in files:
            with open(file, encoding="utf-8", newline="") as f:
                yield file, f.read()


def main():
    warnings.simplefilter("ignore")
    args = argparse.ArgumentParser()
    args.add_argument("--batch", required=True)
    args.add_argument("--cases", type=int, default=200)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("paths", nargs="+")
    args = args.parse_args()
    batch = Batch(args.batch)
    total = texts = failures = files = 0
    for file, source in sources(args.paths):
        files += 1
        shown = bad = rendered = 0
        try:
            template = environment(NOW).from_string(source)
        except jinja2.TemplateError as e:
            status, got = batch.render(source, {}, NOW)
            failures += status == 0
            print(f"{os.path.basename(file)}: jinja2 can't compile it: {e}; ours: {status} {got[:80]}")
            continue
        for i in range(args.cases):
            variables = Chat(args.seed * 1000003 + i).variables()
            wrong = compare(batch, source, template, variables)
            rendered += oracle(template, variables)[0] is not None
            total += 1
            if wrong is not None:
                bad += 1
                if shown < 2:
                    shown += 1
                    print(f"{os.path.basename(file)}, case {i}:\n    {wrong[:1500]}")
        texts += rendered
        failures += bad
        if bad:
            print(f"{os.path.basename(file)}: {bad} of {args.cases} differ, {rendered} render")
    print(f"{files} templates, {total} cases, {texts} rendered, {failures} differences", file=sys.stderr)
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
