/*
 * template/strftime.c - see strftime.h. Flags - _ 0 ^ before a letter are those of glibc.
 */
#include "strftime.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "base/banned.h"

static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

static int hour12(const struct tm *tm)
{
    return tm->tm_hour % 12 == 0 ? 12 : tm->tm_hour % 12;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* ISO 8601 week and the year that it belongs to. */
static int iso_week(const struct tm *tm, int *ret_year)
{
    int year = tm->tm_year + 1900;
    int weekday = (tm->tm_wday + 6) % 7; /* Monday 0 */
    int week = (tm->tm_yday - weekday + 10) / 7;
    if (week < 1) {
        year--;
        int last_weekday =
            (weekday - tm->tm_yday + 371 + 7 * 53 - 1) % 7; /* of 31 December before */
        bool long_year = last_weekday == 3 || (last_weekday == 4 && is_leap(year));
        week = long_year ? 53 : 52;
    } else if (week == 53) {
        int days_left = (is_leap(year) ? 366 : 365) - 1 - tm->tm_yday;
        if (weekday + days_left < 3) {
            week = 1;
            year++;
        }
    }
    *ret_year = year;
    return week;
}

struct field {
    int width; /* digits; 0: text */
    char pad;
    long long number;
    const char *text;
    size_t text_n;
};

static struct field number_field(long long number, int width, char pad)
{
    return (struct field){.width = width, .pad = pad, .number = number};
}

static struct field text_field(const char *text, size_t n)
{
    return (struct field){.text = text, .text_n = n};
}

static bool date_field(const struct tm *tm, char letter, struct field *ret)
{
    int year = tm->tm_year + 1900;
    int iso_year = 0;
    int week = iso_week(tm, &iso_year);
    switch (letter) {
    case 'a': *ret = text_field(days[tm->tm_wday], 3); return true;
    case 'A': *ret = text_field(days[tm->tm_wday], strlen(days[tm->tm_wday])); return true;
    case 'b':
    case 'h': *ret = text_field(months[tm->tm_mon], 3); return true;
    case 'B': *ret = text_field(months[tm->tm_mon], strlen(months[tm->tm_mon])); return true;
    case 'w': *ret = number_field(tm->tm_wday, 1, '0'); return true;
    case 'u': *ret = number_field(tm->tm_wday == 0 ? 7 : tm->tm_wday, 1, '0'); return true;
    case 'd': *ret = number_field(tm->tm_mday, 2, '0'); return true;
    case 'e': *ret = number_field(tm->tm_mday, 2, ' '); return true;
    case 'm': *ret = number_field(tm->tm_mon + 1, 2, '0'); return true;
    case 'y': *ret = number_field(year % 100, 2, '0'); return true;
    case 'Y': *ret = number_field(year, 1, '0'); return true;
    case 'C': *ret = number_field(year / 100, 2, '0'); return true;
    case 'j': *ret = number_field(tm->tm_yday + 1, 3, '0'); return true;
    case 'U': *ret = number_field((tm->tm_yday + 7 - tm->tm_wday) / 7, 2, '0'); return true;
    case 'W':
        *ret = number_field((tm->tm_yday + 7 - (tm->tm_wday + 6) % 7) / 7, 2, '0');
        return true;
    case 'V': *ret = number_field(week, 2, '0'); return true;
    case 'G': *ret = number_field(iso_year, 1, '0'); return true;
    case 'g': *ret = number_field(iso_year % 100, 2, '0'); return true;
    default: return false;
    }
}

static bool time_field(const struct eval *ev, const struct tm *tm, char letter, struct field *ret)
{
    switch (letter) {
    case 'H': *ret = number_field(tm->tm_hour, 2, '0'); return true;
    case 'k': *ret = number_field(tm->tm_hour, 2, ' '); return true;
    case 'I': *ret = number_field(hour12(tm), 2, '0'); return true;
    case 'l': *ret = number_field(hour12(tm), 2, ' '); return true;
    case 'M': *ret = number_field(tm->tm_min, 2, '0'); return true;
    case 'S': *ret = number_field(tm->tm_sec, 2, '0'); return true;
    case 'f': *ret = number_field(0, 6, '0'); return true;
    case 's': *ret = number_field(ev->context->now_unix_s, 1, '0'); return true;
    case 'p': *ret = text_field(tm->tm_hour < 12 ? "AM" : "PM", 2); return true;
    case 'P': *ret = text_field(tm->tm_hour < 12 ? "am" : "pm", 2); return true;
    case 'z':
    case 'Z': *ret = text_field("", 0); return true; /* a time without zone */
    case 'n': *ret = text_field("\n", 1); return true;
    case 't': *ret = text_field("\t", 1); return true;
    case '%': *ret = text_field("%", 1); return true;
    default: return false;
    }
}

/* Letters that stand for a longer format. */
static const char *composed(char letter)
{
    switch (letter) {
    case 'c': return "%a %b %e %H:%M:%S %Y";
    case 'x':
    case 'D': return "%m/%d/%y";
    case 'X':
    case 'T': return "%H:%M:%S";
    case 'F': return "%Y-%m-%d";
    case 'R': return "%H:%M";
    case 'r': return "%I:%M:%S %p";
    default: return NULL;
    }
}

static bool put_field(struct eval *ev, const struct field *field, char flag)
{
    char text[32];
    if (field->width == 0) {
        for (size_t i = 0; i < field->text_n; i++) {
            char c = field->text[i];
            if (!template_put_char(ev, (char)(flag == '^' ? toupper((unsigned char)c) : c)))
                return false;
        }
        return true;
    }
    char pad = (char)(flag == '_' ? ' ' : flag == '0' ? '0' : field->pad);
    int width = flag == '-' ? 1 : field->width;
    int n = pad == '0' ? snprintf(text, sizeof text, "%0*lld", width, field->number)
                       : snprintf(text, sizeof text, "%*lld", width, field->number);
    return template_put(ev, text, (size_t)n);
}

static bool put_format(struct eval *ev, const struct tm *tm, const char *format, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (format[i] != '%' || i + 1 == n) {
            if (!template_put_char(ev, format[i]))
                return false;
            continue;
        }
        size_t start = i++;
        bool flagged = strchr("-_0^", format[i]) != NULL && i + 1 < n;
        char flag = (char)(flagged ? format[i++] : '\0');
        const char *longer = composed(format[i]);
        struct field field;
        bool ok = false;
        if (longer != NULL)
            ok = put_format(ev, tm, longer, strlen(longer)); /* one level: these hold no composed */
        else if (date_field(tm, format[i], &field) || time_field(ev, tm, format[i], &field))
            ok = put_field(ev, &field, flag);
        else
            ok = template_put(ev, format + start, i + 1 - start);
        if (!ok)
            return false;
    }
    return true;
}

bool template_put_time(struct eval *ev, const char *format, size_t n)
{
    time_t local = (time_t)(ev->context->now_unix_s + ev->context->utc_offset_s);
    struct tm tm;
    if (gmtime_r(&local, &tm) == NULL) {
        template_fail(ev, "strftime_now: the time is out of range");
        return false;
    }
    return put_format(ev, &tm, format, n);
}
