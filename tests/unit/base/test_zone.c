/* SPDX-License-Identifier: Apache-2.0 */
/* Zones: the same offsets as the C library's, and days and months that follow one another. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/str.h"
#include "base/zone.h"

static const char *const names[] = {"Europe/Berlin",  "America/New_York", "America/St_Johns",  "Australia/Lord_Howe",
                                    "Asia/Kathmandu", "America/Havana",   "Africa/Casablanca", "Pacific/Apia",
                                    "Asia/Tehran",    "Europe/Dublin",    "America/Sao_Paulo", "Antarctica/Troll"};

static struct weir_zone *load(const char *name)
{
    struct weir_zone *z = NULL;
    struct weir_err err = {""};
    assert_int_equal(weir_zone_load(&z, name, &err), 0);
    return z;
}

static void offsets_are_those_of_the_c_library(void **state)
{
    (void)state;
    struct weir_prng rng = weir_prng_seed(3);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        struct weir_zone *z = load(names[i]);
        assert_int_equal(setenv("TZ", names[i], 1), 0);
        tzset();
        for (int k = 0; k < 20000; k++) {
            time_t t =
                (time_t)(weir_prng_u64(&rng) % (UINT64_C(150) * 365 * 86400)) - 10 * 365 * 86400; /* 1960 to 2110 */
            struct tm tm;
            assert_non_null(localtime_r(&t, &tm));
            int64_t offset = weir_zone_offset_s(z, (struct weir_wall){t * WEIR_US_PER_S});
            if (offset != tm.tm_gmtoff) {
                fail_msg("%s at %lld: %lld, not %ld", names[i], (long long)t, (long long)offset, tm.tm_gmtoff);
            }
        }
        weir_zone_free(z);
    }
}

static void periods_follow_one_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        struct weir_zone *z = load(names[i]);
        for (int unit = WEIR_ZONE_DAY; unit <= WEIR_ZONE_MONTH; unit++) {
            struct weir_wall t =
                weir_wall_from_date((struct weir_date){.year = 2024, .month = 1, .day = 1, .hour = 12});
            int64_t period = weir_zone_period(z, (enum weir_zone_unit)unit, t);
            for (int k = 0; k < 1200; k++) {
                struct weir_wall end = weir_zone_period_end(z, (enum weir_zone_unit)unit, t);
                struct weir_wall before = {end.us - 1};
                assert_true(end.us > t.us);
                assert_int_equal(weir_zone_period(z, (enum weir_zone_unit)unit, before), period);
                assert_int_equal(weir_zone_period(z, (enum weir_zone_unit)unit, end), ++period);
                t = end;
            }
        }
        weir_zone_free(z);
    }
}

static void days_are_as_long_as_clocks_make_them(void **state)
{
    (void)state;
    static const struct {
        const char *zone;
        struct weir_date day;
        int64_t hours;
        const char *begins;
    } rows[] = {
        {"Europe/Berlin", {.year = 2026, .month = 3, .day = 29}, 23, "2026-03-28T23:00:00Z"},
        {"Europe/Berlin", {.year = 2026, .month = 10, .day = 25}, 25, "2026-10-24T22:00:00Z"},
        {"Europe/Berlin", {.year = 2060, .month = 7, .day = 1}, 24, "2060-06-30T22:00:00Z"},      /* by the rule */
        {"America/Sao_Paulo", {.year = 2018, .month = 11, .day = 4}, 23, "2018-11-04T03:00:00Z"}, /* has no midnight */
        {"UTC", {.year = 2026, .month = 3, .day = 29}, 24, "2026-03-29T00:00:00Z"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_zone *z = load(rows[i].zone);
        char buf[WEIR_RFC3339_SIZE];
        struct weir_wall t = weir_zone_to_wall(z, rows[i].day);
        assert_string_equal(weir_wall_format(t, buf), rows[i].begins);
        assert_int_equal(weir_zone_period_end(z, WEIR_ZONE_DAY, t).us - t.us, rows[i].hours * WEIR_US_PER_HOUR);
        weir_zone_free(z);
    }
}

static void what_is_no_zone_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      "../../etc/passwd", "Europe/Nowhere", "/etc/passwd", "Europe/", "A B",
                                      "Europe"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct weir_zone *z = NULL;
        struct weir_err err = {""};
        assert_int_equal(weir_zone_load(&z, bad[i], &err), -WEIR_EINVAL);
        assert_non_null(strstr(err.text, "time zone"));
        assert_null(z);
    }
}

static void broken_tables_are_refused(void **state)
{
    (void)state;
    unsigned char file[192] = "TZif2";
    file[20 + 16 + 3] = 1; /* one type */
    memcpy(file + 50, file, 44);
    static const char *const rules[] = {"\nCET-1CEST,M3.5.0,M10.5.0/3\n", "\n<+0530>-5:30\n", "\nEST5EDT,J60,300/-2\n",
                                        "\n\n"};
    static const char *const bad[] = {"",        "\n",    "\nCET-1CEST,M3.5.0\n", "\nCET-1CEST,M13.5.0,M10.5.0\n",
                                      "\nC\n",   "\n5\n", "\nCET-99\n",           "\nCET-1 \n",
                                      "\n<a-1\n"};
    for (int good = 0; good < 2; good++) {
        for (size_t i = 0; i < (good ? WEIR_ARRAY_LEN(rules) : WEIR_ARRAY_LEN(bad)); i++) {
            const char *rule = good ? rules[i] : bad[i];
            struct weir_zone *z = NULL;
            memcpy(file + 100, rule, strlen(rule));
            int r = weir_zone_parse(&z, file, 100 + strlen(rule), NULL);
            if ((r == 0) != (good == 1)) {
                fail_msg("'%s': %d", rule, r);
            }
            weir_zone_free(z);
        }
    }
    for (size_t n = 0; n < 100; n++) { /* cut off anywhere */
        struct weir_zone *z = NULL;
        assert_int_equal(weir_zone_parse(&z, file, n, NULL), -WEIR_EINVAL);
    }
}

static void nothing(void **state)
{
    (void)state;
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_those_of_the_c_library),
        cmocka_unit_test(periods_follow_one_another),
        cmocka_unit_test(days_are_as_long_as_clocks_make_them),
        cmocka_unit_test(what_is_no_zone_is_refused),
        cmocka_unit_test(broken_tables_are_refused),
    };
    if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) != 0) {
        for (size_t i = 0; i < 3; i++) {
            tests[i] = (struct CMUnitTest)cmocka_unit_test(nothing);
            tests[i].name = "zones # SKIP package tzdata is not installed";
        }
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
