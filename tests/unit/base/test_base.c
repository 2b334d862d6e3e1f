/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for the small values of base: money, time, text. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/money.h"
#include "base/parse.h"
#include "base/prng.h"

static void durations_are_read_in_every_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us; /* -1: refused */
    } rows[] = {
        {"90", 90 * WEIR_US_PER_S},   {"90s", 90 * WEIR_US_PER_S},
        {"1.5h", 5400 * WEIR_US_PER_S}, {"1h30m", 5400 * WEIR_US_PER_S},
        {"2d", 2 * WEIR_US_PER_DAY},  {"500ms", 500000},
        {"1h 30m", 5400 * WEIR_US_PER_S}, {"", -1}, {"h", -1}, {"-1s", -1},
        {"1x", -1}, {"99999999999999d", -1}, {"1h30", -1},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_dur d = {-1};
        int r = weir_parse_duration(weir_sv_of(rows[i].text), &d, NULL);
        if (rows[i].us < 0 && weir_streq(rows[i].text, "1h30")) {
            assert_int_equal(r, 0); /* a bare number at the end counts seconds */
            assert_int_equal(d.us, 3630 * WEIR_US_PER_S);
            continue;
        }
        assert_int_equal(r == 0, rows[i].us >= 0);
        assert_int_equal(d.us, rows[i].us);
    }
}

static void slurm_times_follow_the_manual(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t s;
    } rows[] = {{"90", 5400},       {"10:00", 600},      {"01:30:00", 5400},
                {"2-12", 216000},   {"1-00:30", 88200},  {"2-12:00:01", 216001},
                {"", -1},           {"1:2:3:4", -1},     {"a", -1}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_dur d = {-WEIR_US_PER_S};
        (void)weir_parse_slurm_time(weir_sv_of(rows[i].text), &d, NULL);
        assert_int_equal(d.us, rows[i].s * WEIR_US_PER_S);
    }
}

static void amounts_for_people_show_two_places_or_what_there_is(void **state)
{
    (void)state;
    static const struct {
        int64_t micro;
        const char *text;
    } rows[] = {{0, "0"},           {12345678, "12.35"}, {1000000, "1.00"},    {320000, "0.32"}, {100000, "0.10"},
                {11600, "0.0116"},  {999999, "1.00"},    {914, "0.000914"},    {1, "0.000001"},  {-2500000, "-2.50"},
                {-320100, "-0.3201"}, {INT64_MIN, "-9223372036854.78"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char buf[WEIR_MONEY_SIZE];
        assert_string_equal(weir_money_format_short(rows[i].micro, "USD", buf), rows[i].text);
    }
}

static void amounts_have_the_places_of_their_currency(void **state)
{
    (void)state;
    static const struct {
        int64_t micro;
        const char *currency;
        const char *text;
    } rows[] = {{1234567890, "JPY", "1235"},  {99500000, "JPY", "99.5"}, {12345678, "JPY", "12.35"}, {12000000, "JPY", "12"},   {351234, "JPY", "0.3512"},
                {40, "JPY", "0"},             {-150000000, "JPY", "-150"}, {12345678, "KWD", "12.346"}, {100000, "KWD", "0.100"}, {12345, "KWD", "0.01235"},
                {914, "KWD", "0.000914"},     {12345678, "CLP", "12.35"}, {12345678, "EUR", "12.35"},  {0, "JPY", "0"}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char buf[WEIR_MONEY_SIZE];
        assert_string_equal(weir_money_format_short(rows[i].micro, rows[i].currency, buf), rows[i].text);
    }
}

static void sizes_are_exact(void **state)
{
    (void)state;
    uint64_t b = 0;
    assert_int_equal(weir_parse_bytes(WEIR_SV("1.5G"), 1, &b, NULL), 0);
    assert_int_equal(b, UINT64_C(1610612736));
    assert_int_equal(weir_parse_bytes(WEIR_SV("64"), UINT64_C(1) << 30, &b, NULL), 0);
    assert_int_equal(b, UINT64_C(64) << 30);
    assert_true(weir_parse_bytes(WEIR_SV("12Q"), 1, &b, NULL) < 0);
}

static void amounts_name_their_currency_or_none(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t micro; /* -1: refused */
        const char *currency;
    } rows[] = {{"2.50", 2500000, ""},        {"$2.50", 2500000, "USD"},  {" 2.50 EUR ", 2500000, "EUR"}, {"12 jpy", 12000000, "JPY"},
                {"0.0000010", 1, ""},         {"0.0000001", -1, ""},      {"9999999999999999", -1, ""},   {"2.50 XYZ", -1, ""},
                {"2.50EUR", -1, ""},          {"EUR 2.50", -1, ""},       {"$2.50 EUR", -1, ""},          {" EUR", -1, ""},
                {"2.50  EUR", -1, ""},        {"", -1, ""}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        int64_t micro = -1;
        char currency[WEIR_CURRENCY_SIZE] = "";
        struct weir_err err = {""};
        int r = weir_parse_money(weir_sv_of(rows[i].text), &micro, currency, &err);
        assert_int_equal(r == 0, rows[i].micro >= 0);
        assert_int_equal(micro, rows[i].micro);
        assert_string_equal(currency, rows[i].currency);
        assert_int_equal(err.text[0] == '\0', r == 0);
    }
}

static void an_amount_of_another_currency_is_refused(void **state)
{
    (void)state;
    int64_t micro = 0;
    struct weir_err err = {""};
    assert_int_equal(weir_parse_money_in(WEIR_SV("2.50"), "EUR", &micro, &err), 0);
    assert_int_equal(micro, 2500000);
    assert_int_equal(weir_parse_money_in(WEIR_SV("3 eur"), "EUR", &micro, &err), 0);
    assert_int_equal(micro, 3000000);
    assert_int_equal(weir_parse_money_in(WEIR_SV("$4"), "EUR", &micro, &err), -WEIR_EINVAL);
    assert_int_equal(micro, 3000000);
    assert_string_equal(err.text, "'$4' is in USD, and amounts are in the ledger's currency here, which is EUR: write it in that");
}

static void currencies_have_their_places(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        int places;
        bool known;
    } rows[] = {{"EUR", 2, true}, {"JPY", 0, true}, {"KWD", 3, true}, {"XYZ", 2, false}, {"eur", 2, false}, {"", 2, false}, {"EU", 2, false}, {"UR ", 2, false}, {"EURO", 2, false}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(weir_currency_places(rows[i].code), rows[i].places);
        assert_int_equal(weir_currency_is_known(rows[i].code), rows[i].known);
    }
}

static void numbers_of_traces_are_read_in_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int want; /* what is given back */
        double v;
    } rows[] = {
        {"0", 0, 0},
        {"-2.5", 0, -2.5},
        {"+3", 0, 3},
        {".5", 0, 0.5},
        {"1e3", 0, 1000},
        {"1.25E-2", 0, 0.0125},
        {"100", 0, 100},
        {"1e-400", 0, 0},
        {"1000.5", -WEIR_EOVERFLOW, 7},
        {"-1e3", -WEIR_EOVERFLOW, 7},
        {"1e999", -WEIR_EOVERFLOW, 7},
        {"", -WEIR_EINVAL, 7},
        {"nan", -WEIR_EINVAL, 7},
        {"inf", -WEIR_EINVAL, 7},
        {"0x10", -WEIR_EINVAL, 7},
        {" 1", -WEIR_EINVAL, 7},
        {"1 ", -WEIR_EINVAL, 7},
        {"1,5", -WEIR_EINVAL, 7},
        {"1.2.3", -WEIR_EINVAL, 7},
        {"e5", -WEIR_EINVAL, 7},
        {"--1", -WEIR_EINVAL, 7},
        {"0000000000000000000000000000000000000000000000000000000000000001", -WEIR_EINVAL, 7},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_err err = {0};
        double v = 7;
        assert_int_equal(weir_parse_real(weir_sv_of(rows[i].text), -100, 1000, &v, &err), rows[i].want);
        assert_true(v == rows[i].v);
        assert_int_equal(err.text[0] != '\0', rows[i].want < 0);
    }
    double v = 7;
    assert_int_equal(weir_parse_real((struct weir_sv){"1\0002", 3}, 0, 9, &v, NULL), -WEIR_EINVAL);
    assert_int_equal(weir_parse_real((struct weir_sv){"123", 2}, 0, 99, &v, NULL), 0);
    assert_true(v == 12);
}

static void times_round_trip(void **state)
{
    (void)state;
    struct weir_prng r = weir_prng_seed(7);
    for (int i = 0; i < 10000; i++) {
        int64_t span = WEIR_US_PER_DAY * 365 * 200;
        struct weir_wall t = {(int64_t)weir_prng_below(&r, (uint64_t)span) - span / 2};
        char buf[WEIR_RFC3339_SIZE];
        struct weir_wall back = {0};
        assert_int_equal(weir_parse_time(weir_sv_of(weir_wall_format(t, buf)), &back, NULL), 0);
        assert_int_equal(back.us, t.us);
    }
    struct weir_wall t = {0};
    assert_int_equal(weir_parse_time(WEIR_SV("2026-11-22T20:42:26+01:00"), &t, NULL), 0);
    assert_int_equal(t.us, INT64_C(1795376546) * WEIR_US_PER_S);
    assert_true(weir_parse_time(WEIR_SV("2026-02-29"), &t, NULL) < 0);
    assert_true(weir_parse_time(WEIR_SV("2026-11-22T19:42:26Zx"), &t, NULL) < 0);
}

static void slices_add_up_to_the_whole(void **state)
{
    (void)state;
    struct weir_prng r = weir_prng_seed(1);
    for (int i = 0; i < 1000; i++) {
        int64_t rate = (int64_t)weir_prng_below(&r, 200 * 1000000);
        int64_t sum = 0;
        struct weir_dur at = {0};
        for (int k = 0; k < 20; k++) {
            struct weir_dur next = {at.us + (int64_t)weir_prng_below(&r, WEIR_US_PER_HOUR)};
            int64_t part = 0;
            assert_true(weir_money_slice(rate, at, next, &part));
            sum += part;
            at = next;
        }
        int64_t whole = 0;
        assert_true(weir_money_charge(rate, at, &whole));
        assert_int_equal(sum, whole);
    }
}

static void a_split_loses_nothing(void **state)
{
    (void)state;
    struct weir_prng r = weir_prng_seed(2);
    for (int i = 0; i < 1000; i++) {
        int64_t weight[9];
        int64_t part[9];
        for (int k = 0; k < 9; k++) {
            weight[k] = (int64_t)weir_prng_below(&r, 100);
        }
        weight[0]++;
        int64_t total = (int64_t)weir_prng_below(&r, 1000000000);
        weir_money_split(total, weight, 9, part);
        int64_t sum = 0;
        for (int k = 0; k < 9; k++) {
            assert_true(part[k] >= 0 && (weight[k] > 0 || part[k] == 0));
            sum += part[k];
        }
        assert_int_equal(sum, total);
    }
}

static void a_message_is_text_whatever_is_quoted(void **state)
{
    (void)state;
    static const struct {
        const char *quoted;
        const char *want;
    } rows[] = {
        {"plain", "'plain'"},
        {"gr\xc3\xbc\xc3\x9f", "'gr\xc3\xbc\xc3\x9f'"},
        {"a\x01z", "'a?z'"},
        {"\x1b[31m", "'?[31m'"},
        {"\xff\xfe", "'?" "?'"},
        {"\xc3(", "'?('"},
        {"\xe2\x82", "'?" "?'"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_err err;
        assert_int_equal(weir_fail(&err, -WEIR_EINVAL, "'%s'", rows[i].quoted), -WEIR_EINVAL);
        assert_string_equal(err.text, rows[i].want);
        assert_int_equal(weir_fail_prefix(&err, -WEIR_EIO, "%s", rows[i].quoted), -WEIR_EIO);
        assert_true(weir_utf8_is_text(weir_sv_of(err.text)));
    }
}

static void charges_round_half_up_and_report_overflow(void **state)
{
    (void)state;
    int64_t m = 42;
    assert_true(weir_mul_div(1, 1, 2, &m));
    assert_int_equal(m, 1);
    assert_true(weir_mul_div(-1, 1, 2, &m));
    assert_int_equal(m, 0);
    assert_true(weir_mul_div(-3, 1, 2, &m));
    assert_int_equal(m, -1);
    assert_false(weir_mul_div(INT64_MAX, 2, 1, &m));
    assert_int_equal(m, -1);
    assert_int_equal(weir_mul_div_sat(INT64_MIN, 2, 1), INT64_MIN);
}

/* By the hour there is a quicker way, and another one where the product is small: all give the same. */
static void quick_ways_divide_as_the_long_one_does(void **state)
{
    (void)state;
    const int64_t by[] = {1, 7, WEIR_US_PER_S, WEIR_US_PER_HOUR, WEIR_US_PER_HOUR + 1, INT64_MAX};
    const int64_t of[] = {0, 1, 2, 999, 1800000000, 3599999999, 3600000000, 5400000001, INT64_C(1) << 40, INT64_MAX / 4, INT64_MAX};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(by); i++) {
        for (size_t k = 0; k < WEIR_ARRAY_LEN(of) * WEIR_ARRAY_LEN(of); k++) {
            int64_t a = of[k / WEIR_ARRAY_LEN(of)];
            int64_t b = of[k % WEIR_ARRAY_LEN(of)];
            int64_t want = 0;
            assert_int_equal(weir_mul_div_sat(a, b, by[i]), weir_mul_div(a, b, by[i], &want) ? want : INT64_MAX);
            assert_int_equal(weir_mul_div_sat(-a, b, by[i]), weir_mul_div(-a, b, by[i], &want) ? want : INT64_MIN);
        }
    }
}

static void globs_and_suggestions(void **state)
{
    (void)state;
    assert_true(weir_glob_match(WEIR_SV("eu-*"), WEIR_SV("eu-west-1")));
    assert_false(weir_glob_match(WEIR_SV("eu-*"), WEIR_SV("us-east-1")));
    assert_true(weir_glob_match(WEIR_SV("*a*b?"), WEIR_SV("xxaxxbc")));
    static const char *const list[] = {"resources", "run", "setup", NULL};
    assert_string_equal(weir_nearest(WEIR_SV("resorces"), list), "resources");
    assert_null(weir_nearest(WEIR_SV("quite_other"), list));
}

static void text_must_be_clean_utf8(void **state)
{
    (void)state;
    assert_true(weir_utf8_is_text(WEIR_SV("a\tb\nç€😀")));
    assert_false(weir_utf8_is_text(WEIR_SV("a\x01")));
    assert_false(weir_utf8_is_text(WEIR_SV("\xc0\x80")));
    assert_false(weir_utf8_is_text(WEIR_SV("\xed\xa0\x80")));
    assert_false(weir_utf8_is_text(WEIR_SV("\xe2\x82")));
    /* Wherever it stands in a longer text, which is looked at in words. */
    static const char bad[] = {0, 1, 0x1f, 0x7f, (char)0x80, (char)0xff};
    for (size_t i = 0; i < 24; i++) {
        for (size_t k = 0; k < sizeof bad; k++) {
            char text[24];
            memset(text, k % 2 == 0 ? ' ' : '~', sizeof text);
            assert_true(weir_utf8_is_text((struct weir_sv){text, sizeof text}));
            text[i] = bad[k];
            assert_false(weir_utf8_is_text((struct weir_sv){text, sizeof text}));
        }
    }
}

static void json_is_utf8_whatever_the_text_is(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {
        {"\xc3\xa9", "\"\xc3\xa9\""},
        {"\xe2\x82\xac\xf0\x9f\x8c\x8a", "\"\xe2\x82\xac\xf0\x9f\x8c\x8a\""},
        {"\xc2\x80", "\"\xc2\x80\""},      /* a control character is one too */
        {"n\xc3", "\"n?\""},                /* cut */
        {"\xc3\"", "\"?\\\"\""},           /* what follows is not swallowed */
        {"\xc0\xaf", "\"??\""},             /* overlong */
        {"\xe0\x80\xaf", "\"???\""},
        {"\xed\xa0\x80", "\"???\""},        /* a surrogate */
        {"\xf4\x90\x80\x80", "\"????\""},   /* beyond the last */
        {"\xffx\x80", "\"?x?\""},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_str out = WEIR_STR_INIT(64);
        struct weir_json j = weir_json_begin(&out);
        weir_json_cstr(&j, rows[i].text);
        assert_string_equal(weir_str_cstr(&out), rows[i].want);
        weir_str_release(&out);
    }
}

static void json_is_escaped_and_bounded(void **state)
{
    (void)state;
    struct weir_str out = WEIR_STR_INIT(64);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "a\"b", "x\n\x01\\");
    weir_json_key(&j, "l");
    weir_json_array(&j);
    weir_json_u64(&j, 1);
    weir_json_null(&j);
    weir_json_end(&j);
    weir_json_end(&j);
    assert_string_equal(weir_str_cstr(&out), "{\"a\\\"b\":\"x\\n\\u0001\\\\\",\"l\":[1,null]}");
    for (int i = 0; i < 100; i++) {
        weir_str_adds(&out, "0123456789");
    }
    assert_true(out.overflowed);
    assert_true(out.n <= 64);
    weir_str_release(&out);
}

static void the_map_agrees_with_a_plain_array(void **state)
{
    (void)state;
    struct weir_map m = {0};
    static uint64_t want[512];
    struct weir_prng r = weir_prng_seed(3);
    for (int i = 0; i < 100000; i++) {
        uint64_t k = weir_prng_below(&r, 512);
        if (weir_prng_below(&r, 3) == 0) {
            assert_int_equal(weir_map_remove(&m, k * 4096), want[k] != 0);
            want[k] = 0;
        } else {
            want[k] = (uint64_t)i + 1;
            weir_map_put(&m, k * 4096, want[k]);
        }
    }
    for (uint64_t k = 0; k < 512; k++) {
        uint64_t v = 0;
        assert_int_equal(weir_map_get(&m, k * 4096, &v), want[k] != 0);
        assert_int_equal(v, want[k]);
    }
    weir_map_release(&m);
    struct weir_interner t = {0};
    assert_int_equal(weir_intern(&t, WEIR_SV("a")), 0);
    assert_int_equal(weir_intern(&t, WEIR_SV("b")), 1);
    assert_int_equal(weir_intern(&t, WEIR_SV("a")), 0);
    assert_int_equal(weir_intern_find(&t, WEIR_SV("c")), UINT32_MAX);
    weir_interner_release(&t);
}

static void a_long_error_ends_with_a_whole_character(void **state)
{
    (void)state;
    char text[800];
    for (size_t pad = 0; pad < 8; pad++) {
        struct weir_err err;
        memset(text, 'x', pad);
        for (size_t i = pad; i + 4 < sizeof text; i += 4) {
            memcpy(text + i, "\xf0\x9f\x90\x9f", 5);
        }
        (void)weir_fail(&err, -WEIR_EINVAL, "%s", text);
        assert_true(strlen(err.text) > sizeof err.text - 5 && weir_utf8_is_text(weir_sv_of(err.text)));
        (void)weir_fail_prefix(&err, -WEIR_EINVAL, "\xc3\xa9: a longer one");
        assert_true(weir_utf8_is_text(weir_sv_of(err.text)));
    }
}

static void error_codes_say_whether_to_try_again(void **state)
{
    (void)state;
    assert_true(weir_error_is_retryable(-WEIR_EUNAVAIL) && weir_error_is_retryable(-WEIR_ETIMEOUT));
    assert_false(weir_error_is_retryable(-WEIR_EINVAL) || weir_error_is_retryable(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read_in_every_unit),
        cmocka_unit_test(a_long_error_ends_with_a_whole_character),
        cmocka_unit_test(error_codes_say_whether_to_try_again),
        cmocka_unit_test(slurm_times_follow_the_manual),
        cmocka_unit_test(amounts_for_people_show_two_places_or_what_there_is),
        cmocka_unit_test(amounts_have_the_places_of_their_currency),
        cmocka_unit_test(sizes_are_exact),
        cmocka_unit_test(amounts_name_their_currency_or_none),
        cmocka_unit_test(an_amount_of_another_currency_is_refused),
        cmocka_unit_test(currencies_have_their_places),
        cmocka_unit_test(numbers_of_traces_are_read_in_every_form),
        cmocka_unit_test(times_round_trip),
        cmocka_unit_test(slices_add_up_to_the_whole),
        cmocka_unit_test(a_split_loses_nothing),
        cmocka_unit_test(a_message_is_text_whatever_is_quoted),
        cmocka_unit_test(charges_round_half_up_and_report_overflow),
        cmocka_unit_test(quick_ways_divide_as_the_long_one_does),
        cmocka_unit_test(globs_and_suggestions),
        cmocka_unit_test(text_must_be_clean_utf8),
        cmocka_unit_test(json_is_escaped_and_bounded),
        cmocka_unit_test(json_is_utf8_whatever_the_text_is),
        cmocka_unit_test(the_map_agrees_with_a_plain_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
