/* SPDX-License-Identifier: Apache-2.0 */
#include "parse.h"

#include <inttypes.h>
#include <stdlib.h>

enum { REAL_BYTES_MAX = 64 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int not_a(struct weir_err *err, struct weir_sv s, const char *what)
{
    if (s.n > 60) {
        return weir_fail(err, -WEIR_EINVAL, "'%.60s...' is not %s", s.p, what);
    }
    return weir_fail(err, -WEIR_EINVAL, "'%.*s' is not %s", WEIR_SV_ARG(s), what);
}

/* Digits only; returns how many were read, 0 on none; saturates at UINT64_MAX. */
static size_t read_digits(struct weir_sv s, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;
    for (; i < s.n && is_digit(s.p[i]); i++) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) {
            v = UINT64_MAX;
            while (i < s.n && is_digit(s.p[i])) {
                i++;
            }
            break;
        }
    }
    *ret = v;
    return i;
}

static struct weir_sv skip(struct weir_sv s, size_t n)
{
    return (struct weir_sv){s.p + n, s.n - n};
}

int weir_parse_u64(struct weir_sv s, uint64_t min, uint64_t max, uint64_t *ret, struct weir_err *err)
{
    uint64_t v;
    size_t n = read_digits(s, &v);
    if (n == 0 || n != s.n) {
        return not_a(err, s, "a whole number");
    }
    if (v < min || v > max || (n > 20 && v == UINT64_MAX)) {
        return weir_fail(err, -WEIR_EOVERFLOW, "%.*s is not between %" PRIu64 " and %" PRIu64, WEIR_SV_ARG(s), min,
                         max);
    }
    *ret = v;
    return 0;
}

int weir_parse_i64(struct weir_sv s, int64_t min, int64_t max, int64_t *ret, struct weir_err *err)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    struct weir_sv digits = negative ? skip(s, 1) : s;
    uint64_t v;
    size_t n = read_digits(digits, &v);
    if (n == 0 || n != digits.n) {
        return not_a(err, s, "a whole number");
    }
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    int64_t i = v > limit ? 0 : (int64_t)(negative ? -v : v);
    if (v > limit || i < min || i > max) {
        return weir_fail(err, -WEIR_EOVERFLOW, "%.*s is not between %" PRId64 " and %" PRId64, WEIR_SV_ARG(s), min,
                         max);
    }
    *ret = i;
    return 0;
}

int weir_parse_bool(struct weir_sv s, bool *ret, struct weir_err *err)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},   {"1", true},
                 {"false", false}, {"no", false}, {"off", false}, {"0", false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (weir_sv_eq_nocase(s, weir_sv_of(words[i].word))) {
            *ret = words[i].value;
            return 0;
        }
    }
    return not_a(err, s, "true or false");
}

/* Reads "12.345" from the start of s as 12.345 x 10^places. Returns bytes read, 0 on no number or
 * more significant digits than places; *overflow is set where it does not fit in int64. */
static size_t read_decimal(struct weir_sv s, int places, int64_t *ret, bool *overflow)
{
    size_t i = 0;
    bool any = false;
    bool over = false;
    int64_t v = 0;
    for (; i < s.n && is_digit(s.p[i]); i++) {
        any = true;
        over |= __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (int64_t)(s.p[i] - '0'), &v);
    }
    int left = places;
    if (i < s.n && s.p[i] == '.') {
        i++;
        for (; i < s.n && is_digit(s.p[i]); i++) {
            any = true;
            if (left == 0) {
                if (s.p[i] != '0') {
                    return 0;
                }
                continue;
            }
            left--;
            over |= __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (int64_t)(s.p[i] - '0'), &v);
        }
    }
    for (; left > 0; left--) {
        over |= __builtin_mul_overflow(v, 10, &v);
    }
    *ret = v;
    *overflow = over;
    return any ? i : 0;
}

int weir_parse_decimal(struct weir_sv s, int places, int64_t *ret, struct weir_err *err)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    struct weir_sv digits = negative ? skip(s, 1) : s;
    int64_t v;
    bool overflow;
    size_t n = read_decimal(digits, places, &v, &overflow);
    if (n == 0 || n != digits.n) {
        return weir_fail(err, -WEIR_EINVAL, "'%.*s' is not a number with at most %d decimal places", WEIR_SV_ARG(s),
                         places);
    }
    if (overflow) {
        return weir_fail(err, -WEIR_EOVERFLOW, "%.*s is too large", WEIR_SV_ARG(s));
    }
    *ret = negative ? -v : v;
    return 0;
}

int weir_parse_real(struct weir_sv s, double min, double max, double *ret, struct weir_err *err)
{
    char text[REAL_BYTES_MAX];
    bool good = s.n > 0 && s.n < sizeof text;
    for (size_t i = 0; good && i < s.n; i++) {
        /* strtod would also take blanks, hexadecimal, "nan" and "inf". */
        good = strchr("0123456789+-.eE", s.p[i]) != NULL && s.p[i] != '\0';
    }
    double v = 0;
    if (good) {
        memcpy(text, s.p, s.n);
        text[s.n] = '\0';
        char *end = NULL;
        v = strtod(text, &end);
        good = end == text + s.n;
    }
    if (!good) {
        return not_a(err, s, "a number");
    }
    if (!(v >= min && v <= max)) {
        return weir_fail(err, -WEIR_EOVERFLOW, "%.*s is not between %g and %g", WEIR_SV_ARG(s), min, max);
    }
    *ret = v;
    return 0;
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

int weir_parse_money(struct weir_sv s, int64_t *ret_micro, char ret_currency[static WEIR_CURRENCY_SIZE], struct weir_err *err)
{
    struct weir_sv body = weir_sv_trim(s);
    char code[WEIR_CURRENCY_SIZE] = "";
    const char *end = body.n > 4 ? body.p + body.n - 4 : NULL;
    if (body.n > 0 && body.p[0] == '$') {
        body = skip(body, 1);
        memcpy(code, "USD", sizeof code);
    } else if (end != NULL && end[0] == ' ' && is_letter(end[1]) && is_letter(end[2]) && is_letter(end[3])) {
        for (size_t i = 0; i < sizeof code - 1; i++) {
            code[i] = (char)(end[1 + i] >= 'a' ? end[1 + i] - 'a' + 'A' : end[1 + i]);
        }
        if (!weir_currency_is_known(code)) {
            return weir_fail(err, -WEIR_EINVAL, "'%.*s': %s is the code of no currency", WEIR_SV_ARG(body), code);
        }
        body.n -= 4;
    }
    int64_t micro;
    if (weir_parse_decimal(body, 6, &micro, NULL) != 0) {
        return not_a(err, s, "an amount of money such as 2.50");
    }
    *ret_micro = micro;
    memcpy(ret_currency, code, sizeof code);
    return 0;
}

int weir_parse_money_in(struct weir_sv s, const char *currency, int64_t *ret_micro, struct weir_err *err)
{
    char said[WEIR_CURRENCY_SIZE];
    int64_t micro;
    int r = weir_parse_money(s, &micro, said, err);
    if (r == 0 && said[0] != '\0' && !weir_streq(said, currency)) {
        return weir_fail(err, -WEIR_EINVAL, "'%.*s' is in %s, and amounts are in the ledger's currency here, which is %s: write it in that", WEIR_SV_ARG(s), said,
                         currency);
    }
    if (r == 0) {
        *ret_micro = micro;
    }
    return r;
}

int weir_parse_duration(struct weir_sv s, struct weir_dur *ret, struct weir_err *err)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"ms", WEIR_US_PER_MS},  {"us", 1},
                 {"s", WEIR_US_PER_S},    {"sec", WEIR_US_PER_S},
                 {"m", WEIR_US_PER_MIN},  {"min", WEIR_US_PER_MIN},
                 {"h", WEIR_US_PER_HOUR}, {"hr", WEIR_US_PER_HOUR},
                 {"d", WEIR_US_PER_DAY},  {"w", 7 * WEIR_US_PER_DAY}};
    int64_t total = 0;
    struct weir_sv rest = weir_sv_trim(s);
    if (rest.n == 0) {
        return not_a(err, s, "a duration such as 90s, 1.5h or 1h30m");
    }
    while (rest.n > 0) {
        int64_t nano;
        bool overflow;
        size_t n = read_decimal(rest, 6, &nano, &overflow);
        if (n == 0) {
            return not_a(err, s, "a duration such as 90s, 1.5h or 1h30m");
        }
        rest = skip(rest, n);
        size_t letters = 0;
        while (letters < rest.n && rest.p[letters] >= 'a' && rest.p[letters] <= 'z') {
            letters++;
        }
        struct weir_sv unit = {rest.p, letters};
        int64_t unit_us = letters == 0 && rest.n == 0 ? WEIR_US_PER_S : 0;
        for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
            if (letters > 0 && weir_sv_eq(unit, weir_sv_of(units[i].unit))) {
                unit_us = units[i].us;
            }
        }
        if (unit_us == 0) {
            return not_a(err, s, "a duration such as 90s, 1.5h or 1h30m");
        }
        rest = skip(rest, letters);
        while (rest.n > 0 && rest.p[0] == ' ') {
            rest = skip(rest, 1);
        }
        int64_t part = 0;
        if (overflow || !weir_mul_div(nano, unit_us, 1000000, &part) || __builtin_add_overflow(total, part, &total)) {
            return weir_fail(err, -WEIR_EOVERFLOW, "duration %.*s is too long", WEIR_SV_ARG(s));
        }
    }
    ret->us = total;
    return 0;
}

int weir_parse_slurm_time(struct weir_sv s, struct weir_dur *ret, struct weir_err *err)
{
    static const char form[] = "a Slurm time such as 90, 10:00, 01:30:00 or 2-12:00:00";
    uint64_t days = 0;
    bool has_days = s.n > 0 && memchr(s.p, '-', s.n) != NULL;
    struct weir_sv rest = s;
    if (has_days && weir_parse_u64(weir_sv_cut(&rest, '-'), 0, 36500, &days, NULL) != 0) {
        return not_a(err, s, form);
    }
    uint64_t part[3] = {0};
    size_t n = 0;
    while (rest.p != NULL) {
        if (n == 3 || weir_parse_u64(weir_sv_cut(&rest, ':'), 0, 100000000, &part[n], NULL) != 0) {
            return not_a(err, s, form);
        }
        n++;
    }
    uint64_t seconds;
    if (n == 0) {
        return not_a(err, s, form);
    } else if (has_days) {
        seconds = days * 86400 + part[0] * 3600 + part[1] * 60 + part[2];
    } else if (n == 1) {
        seconds = part[0] * 60;
    } else if (n == 2) {
        seconds = part[0] * 60 + part[1];
    } else {
        seconds = part[0] * 3600 + part[1] * 60 + part[2];
    }
    *ret = weir_dur_s((int64_t)seconds);
    return 0;
}

int weir_parse_bytes(struct weir_sv s, uint64_t default_unit, uint64_t *ret, struct weir_err *err)
{
    int64_t micro;
    bool overflow;
    struct weir_sv t = weir_sv_trim(s);
    size_t n = read_decimal(t, 6, &micro, &overflow);
    struct weir_sv unit = n > 0 ? weir_sv_trim(skip(t, n)) : t;
    uint64_t factor = 0;
    static const char letters[] = "KMGT";
    if (n > 0 && unit.n == 0) {
        factor = default_unit;
    } else if (n > 0 && weir_sv_eq_nocase(unit, WEIR_SV("B"))) {
        factor = 1;
    } else if (n > 0) {
        struct weir_sv tail = skip(unit, 1);
        bool known = tail.n == 0 || weir_sv_eq_nocase(tail, WEIR_SV("B")) || weir_sv_eq_nocase(tail, WEIR_SV("iB"));
        for (size_t i = 0; known && i < sizeof letters - 1; i++) {
            if (unit.p[0] == letters[i] || unit.p[0] == letters[i] - 'A' + 'a') {
                factor = UINT64_C(1) << (10 * (i + 1));
            }
        }
    }
    if (factor == 0) {
        return not_a(err, s, "a size such as 512M or 64G");
    }
    int64_t bytes;
    if (overflow || factor > INT64_MAX || !weir_mul_div(micro, (int64_t)factor, 1000000, &bytes)) {
        return weir_fail(err, -WEIR_EOVERFLOW, "size %.*s is too large", WEIR_SV_ARG(s));
    }
    *ret = (uint64_t)bytes;
    return 0;
}

static bool fixed_number(struct weir_sv *s, size_t width, int min, int max, int *ret)
{
    uint64_t v;
    if (s->n < width || read_digits((struct weir_sv){s->p, width}, &v) != width) {
        return false;
    }
    *s = skip(*s, width);
    *ret = (int)v;
    return *ret >= min && *ret <= max;
}

static bool eat(struct weir_sv *s, char c)
{
    if (s->n == 0 || s->p[0] != c) {
        return false;
    }
    *s = skip(*s, 1);
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

int weir_parse_month(struct weir_sv s, struct weir_date *ret, struct weir_err *err)
{
    struct weir_date d = {.day = 1};
    struct weir_sv r = weir_sv_trim(s);
    if (!fixed_number(&r, 4, 1970, 9998, &d.year) || !eat(&r, '-') || !fixed_number(&r, 2, 1, 12, &d.month) || r.n != 0) {
        return not_a(err, s, "a month such as 2026-11");
    }
    *ret = d;
    return 0;
}

struct weir_date weir_date_next_month(struct weir_date d)
{
    return (struct weir_date){.year = d.month == 12 ? d.year + 1 : d.year, .month = d.month % 12 + 1, .day = 1};
}

int weir_parse_time(struct weir_sv s, struct weir_wall *ret, struct weir_err *err)
{
    static const char form[] = "a time such as 2026-11-22T19:42:26Z or 2026-11-22";
    struct weir_date d = {0};
    struct weir_sv r = weir_sv_trim(s);
    int64_t offset_us = 0;
    if (!fixed_number(&r, 4, 1, 9999, &d.year) || !eat(&r, '-') || !fixed_number(&r, 2, 1, 12, &d.month) ||
        !eat(&r, '-') || !fixed_number(&r, 2, 1, days_in_month(d.year, d.month), &d.day)) {
        return not_a(err, s, form);
    }
    if (r.n > 0) {
        if (!(eat(&r, 'T') || eat(&r, 't') || eat(&r, ' ')) || !fixed_number(&r, 2, 0, 23, &d.hour) || !eat(&r, ':') ||
            !fixed_number(&r, 2, 0, 59, &d.minute)) {
            return not_a(err, s, form);
        }
        if (eat(&r, ':') && !fixed_number(&r, 2, 0, 59, &d.second)) {
            return not_a(err, s, form);
        }
        if (eat(&r, '.')) {
            int scale = 100000;
            size_t n = 0;
            for (; r.n > 0 && is_digit(r.p[0]) && n < 9; n++, r = skip(r, 1)) {
                d.us += (r.p[0] - '0') * scale;
                scale /= 10;
            }
            if (n == 0) {
                return not_a(err, s, form);
            }
        }
        int hours = 0;
        int minutes = 0;
        bool minus = r.n > 0 && r.p[0] == '-';
        if (eat(&r, '+') || eat(&r, '-')) {
            if (!fixed_number(&r, 2, 0, 14, &hours)) {
                return not_a(err, s, form);
            }
            (void)eat(&r, ':'); /* "+0100" is common too */
            if (!fixed_number(&r, 2, 0, 59, &minutes)) {
                return not_a(err, s, form);
            }
        } else if (!eat(&r, 'Z')) {
            (void)eat(&r, 'z');
        }
        offset_us = (hours * 60 + minutes) * WEIR_US_PER_MIN * (minus ? -1 : 1);
        if (r.n > 0) {
            return not_a(err, s, form);
        }
    }
    *ret = (struct weir_wall){weir_wall_from_date(d).us - offset_us};
    return 0;
}

/* ---- base64 ---- */

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

long weir_base64url_decode(struct weir_sv text, unsigned char *buf, size_t size)
{
    size_t n = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    if (text.n % 4 == 1) {
        return -1;
    }
    for (size_t i = 0; i < text.n; i++) {
        int d = digit_of(text.p[i]);
        if (d < 0) {
            return -1;
        }
        bits = bits << 6 | (uint32_t)d;
        have += 6;
        if (have >= 8) {
            have -= 8;
            if (n == size) {
                return -1;
            }
            buf[n++] = (unsigned char)(bits >> have);
            bits &= (1u << have) - 1;
        }
    }
    /* What is left over is zero: each value has one spelling. */
    return bits == 0 ? (long)n : -1;
}
