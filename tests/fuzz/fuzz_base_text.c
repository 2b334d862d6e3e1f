/* SPDX-License-Identifier: Apache-2.0 */
/* The small values that people write: durations, money, times, sizes, numbers, globs. What is
 * accepted is written again where there is a writer, and read back to the same value. */
#include "fuzz.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/parse.h"

static void check_times(struct weir_sv s)
{
    struct weir_wall t;
    char buf[WEIR_RFC3339_SIZE];
    if (weir_parse_time(s, &t, NULL) == 0) {
        struct weir_wall again = {0};
        /* An offset may carry a time out of the years that can be written. */
        if (t.us >= -INT64_C(62135596800) * WEIR_US_PER_S &&
            t.us < INT64_C(253402300800) * WEIR_US_PER_S) {
            WEIR_ASSERT(weir_parse_time(weir_sv_of(weir_wall_format(t, buf)), &again, NULL) == 0);
            WEIR_ASSERT(again.us == t.us);
        }
    }
    struct weir_dur d;
    if (weir_parse_duration(s, &d, NULL) == 0) {
        WEIR_ASSERT(d.us >= 0);
        WEIR_ASSERT(weir_dur_format(d, buf)[0] != '\0');
    }
    if (weir_parse_slurm_time(s, &d, NULL) == 0) {
        WEIR_ASSERT(d.us >= 0);
    }
}

static void check_numbers(struct weir_sv s)
{
    uint64_t u;
    int64_t i;
    bool b;
    char buf[WEIR_MONEY_SIZE];
    char currency[WEIR_CURRENCY_SIZE];
    struct weir_err err;
    if (weir_parse_money(s, &i, currency, &err) == 0) {
        int64_t again = 0;
        WEIR_ASSERT(currency[0] == '\0' || weir_currency_is_known(currency));
        WEIR_ASSERT(weir_parse_money_in(weir_sv_of(weir_money_format(i, buf)), "KWD", &again, NULL) == 0);
        WEIR_ASSERT(again == i);
        WEIR_ASSERT(weir_money_format_short(i, "JPY", buf)[0] != '\0');
    } else {
        WEIR_ASSERT(err.text[0] != '\0');
    }
    if (weir_parse_u64(s, 0, UINT64_MAX, &u, NULL) == 0) {
        (void)snprintf(buf, sizeof buf, "%" PRIu64, u);
        uint64_t again = 0;
        WEIR_ASSERT(weir_parse_u64(weir_sv_of(buf), 0, UINT64_MAX, &again, NULL) == 0 &&
                    again == u);
    }
    if (weir_parse_i64(s, INT64_MIN, INT64_MAX, &i, NULL) == 0) {
        (void)snprintf(buf, sizeof buf, "%" PRId64, i);
        int64_t again = 0;
        WEIR_ASSERT(weir_parse_i64(weir_sv_of(buf), INT64_MIN, INT64_MAX, &again, NULL) == 0 &&
                    again == i);
    }
    (void)weir_parse_bytes(s, 1, &u, &err);
    (void)weir_parse_bytes(s, UINT64_C(1) << 30, &u, &err);
    (void)weir_parse_decimal(s, 0, &i, &err);
    (void)weir_parse_decimal(s, 9, &i, &err);
    (void)weir_parse_bool(s, &b, &err);
}

/* The first half is the pattern, the rest the text. */
static void check_text(struct weir_sv s)
{
    static const char *const list[] = {"accelerators", "memory", "run", NULL};
    struct weir_sv pattern = {s.p, s.n / 2};
    struct weir_sv text = {s.p + s.n / 2, s.n - s.n / 2};
    (void)weir_glob_match(pattern, text);
    WEIR_ASSERT(weir_glob_match(WEIR_SV("*"), s));
    (void)weir_nearest(s, list);
    WEIR_ASSERT(weir_edit_distance(s, s) == 0 || s.n > 63);
    bool is_text = weir_utf8_is_text(s);
    if (weir_utf8_is_text(pattern) && weir_utf8_is_text(text)) {
        WEIR_ASSERT(is_text);
    }
    struct weir_sv trimmed = weir_sv_trim(s);
    WEIR_ASSERT(trimmed.n <= s.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_sv s = {(const char *)data, size};
    if (size > 4096) {
        return 0; /* no caller hands in more, and the glob is quadratic at worst */
    }
    check_times(s);
    check_numbers(s);
    check_text(s);
    return 0;
}
