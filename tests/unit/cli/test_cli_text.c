/* SPDX-License-Identifier: Apache-2.0 */
/* Options and rendering. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"

static const char *const formats[] = {"table", "json", NULL};

static const struct weir_opt opts[] = {
    {"flag", 'f', WEIR_OPT_FLAG, .help = "a flag"},
    {"quiet", 'q', WEIR_OPT_FLAG, .help = "another"},
    {"name", 'J', WEIR_OPT_TEXT, .arg = "NAME", .help = "text"},
    {"env", 'e', WEIR_OPT_TEXT, .many = true, .arg = "NAME=VALUE", .help = "texts"},
    {"limit", 'n', WEIR_OPT_COUNT, .arg = "N", .help = "count", .min = 1, .max = 100},
    {"every", 0, WEIR_OPT_DURATION, .arg = "TIME", .help = "span"},
    {"cost", 0, WEIR_OPT_MONEY, .arg = "AMOUNT", .help = "money"},
    {"from", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "time"},
    {"format", 0, WEIR_OPT_CHOICE, .arg = "FORMAT", .help = "choice", .choices = formats},
    {0},
};
static const struct weir_opt common[] = {{"json", 0, WEIR_OPT_FLAG, .help = "json"}, {0}};

/* Parses up to eight words; the caller releases. */
static int parse(struct weir_args *a, enum weir_opt_order order, const char *const *words, struct weir_err *err)
{
    char *word[16];
    size_t n = 0;
    while (words[n] != NULL) {
        word[n] = (char *)(uintptr_t)words[n];
        n++;
    }
    return weir_args_parse(a, opts, common, n, word, order, err);
}

static void options_are_read_in_every_form(void **state)
{
    (void)state;
    static const char *const words[] = {"-fq", "--name=x=y", "one",     "-n5", "-e",          "A=1", "--env",
                                        "B=2", "--json",     "--every", "90s", "--cost=2.50", "two", NULL};
    struct weir_args a;
    struct weir_err err = {""};
    assert_int_equal(parse(&a, WEIR_OPT_PERMUTE, words, &err), 0);
    assert_true(weir_args_has(&a, "flag"));
    assert_true(weir_args_has(&a, "quiet"));
    assert_true(weir_args_has(&a, "json"));
    assert_string_equal(weir_args_text(&a, "name"), "x=y");
    assert_int_equal(weir_args_count(&a, "limit", 9), 5);
    assert_string_equal(weir_args_nth(&a, "env", 0), "A=1");
    assert_string_equal(weir_args_nth(&a, "env", 1), "B=2");
    assert_null(weir_args_nth(&a, "env", 2));
    assert_int_equal(weir_args_duration(&a, "every", (struct weir_dur){0}).us, 90 * WEIR_US_PER_S);
    char currency[WEIR_CURRENCY_SIZE];
    assert_int_equal(weir_args_money(&a, "cost", 0, currency), 2500000);
    assert_string_equal(currency, "");
    assert_int_equal(weir_args_time(&a, "from").us, 0);
    assert_int_equal(a.n_operands, 2);
    assert_string_equal(a.operand[0], "one");
    assert_string_equal(a.operand[1], "two");
    assert_null(a.operand[2]);
    weir_args_release(&a);
}

static void a_command_keeps_its_own_options(void **state)
{
    (void)state;
    static const char *const plain[] = {"-f", "python", "-f", "--name", NULL};
    static const char *const dashed[] = {"-f", "--", "-x", "--", "y", NULL};
    struct weir_args a;
    assert_int_equal(parse(&a, WEIR_OPT_OPERAND_ENDS, plain, NULL), 0);
    assert_int_equal(a.n_operands, 3);
    assert_false(weir_args_has(&a, "name"));
    weir_args_release(&a);
    assert_int_equal(parse(&a, WEIR_OPT_OPERAND_ENDS, dashed, NULL), 0);
    assert_int_equal(a.n_operands, 3);
    assert_string_equal(a.operand[1], "--");
    weir_args_release(&a);
}

static void the_last_one_counts_and_a_dash_is_an_operand(void **state)
{
    (void)state;
    static const char *const words[] = {"--name", "a", "-", "--name", "b", NULL};
    struct weir_args a;
    assert_int_equal(parse(&a, WEIR_OPT_PERMUTE, words, NULL), 0);
    assert_string_equal(weir_args_text(&a, "name"), "b");
    assert_string_equal(a.operand[0], "-");
    weir_args_release(&a);
}

static void bad_options_are_refused_with_a_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *words[3];
        int code;
        const char *says;
    } rows[] = {
        {{"--nmae", "x"}, -WEIR_EINVAL, "unknown option '--nmae'; did you mean '--name'?"},
        {{"--zzzzzzzz"}, -WEIR_EINVAL, "unknown option '--zzzzzzzz'; '--help' lists the options"},
        {{"-z"}, -WEIR_EINVAL, "unknown option '-z'; '--help' lists the options"},
        {{"-\x01"}, -WEIR_EINVAL, "unknown option '-?'; '--help' lists the options"},
        {{"--name"}, -WEIR_EINVAL, "option '--name' needs a value: --name NAME"},
        {{"-n"}, -WEIR_EINVAL, "option '-n' needs a value: -n N"},
        {{"--name="}, -WEIR_EINVAL, "option '--name NAME': the value is empty"},
        {{"--flag=1"}, -WEIR_EINVAL, "option '--flag' takes no value"},
        {{"--format", "xml"}, -WEIR_EINVAL, "option '--format FORMAT': 'xml' is not one of table, json"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_args a;
        struct weir_err err = {""};
        assert_int_equal(parse(&a, WEIR_OPT_PERMUTE, rows[i].words, &err), rows[i].code);
        assert_string_equal(err.text, rows[i].says);
        weir_args_release(&a);
    }
    static const char *const out_of_range[][3] = {{"-n", "0"},        {"-n", "101"},           {"-n", "x"},
                                                  {"--every", "-1s"}, {"--cost", "1.1234567"}, {"--from", "yesterday"}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(out_of_range); i++) {
        struct weir_args a;
        struct weir_err err = {""};
        assert_true(parse(&a, WEIR_OPT_PERMUTE, out_of_range[i], &err) < 0);
        assert_non_null(strstr(err.text, "option '--"));
        weir_args_release(&a);
    }
}

static const struct weir_column columns[] = {{"ID", .right = true}, {"NAME", .shrink = true}, {"STATE"}};

static struct weir_table *table(void)
{
    struct weir_table *t = weir_table_new(columns, WEIR_ARRAY_LEN(columns));
    weir_table_cellf(t, "%d", 7);
    weir_table_cell(t, "gr\xc3\xbc\xc3\x9f"
                       "e");
    weir_table_cell_styled(t, WEIR_STYLE_GOOD, "succeeded");
    weir_table_cell(t, "12");
    weir_table_cell(t, NULL);
    weir_table_cell(t, "x");
    return t;
}

static void tables_are_aligned_by_characters(void **state)
{
    (void)state;
    struct weir_table *t = table();
    struct weir_term term = {0};
    struct weir_str out = WEIR_STR_INIT(4096);
    weir_table_render(t, &term, &out);
    assert_string_equal(weir_str_cstr(&out), "ID  NAME   STATE\n"
                                             " 7  gr\xc3\xbc\xc3\x9f"
                                             "e  succeeded\n"
                                             "12  -      x\n");
    assert_int_equal(weir_table_rows(t), 2);
    weir_str_release(&out);
    weir_table_free(t);
}

static void columns_are_those_of_the_screen(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t columns;
        size_t prefix; /* bytes that stand in four columns */
    } row[] = {
        {"", 0, 0},
        {"abcde", 5, 4},
        {"\xc3\xa9t\xc3\xa9", 3, 5},
        {"\xe7\x9f\xad\xe3\x81\x84\xe5\x90\x8d", 6, 6},   /* two columns each */
        {"a\xe7\x9f\xad\xe3\x81\x84", 5, 4},               /* half a character is none */
        {"e\xcc\x81x", 2, 4},                                /* an accent that combines */
        {"abcde\xcc\x81", 5, 4},
        {"\xf0\x9f\x9a\x80!", 3, 5},
        {"a\xff" "b\xe7\x9f", 5, 4},                          /* broken: a column a byte */
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(row); i++) {
        assert_int_equal(weir_out_columns(weir_sv_of(row[i].text)), row[i].columns);
        assert_int_equal(weir_out_prefix(weir_sv_of(row[i].text), 4).n, row[i].prefix);
    }
}

static void wide_names_do_not_move_columns(void **state)
{
    (void)state;
    static const unsigned widths[] = {0, 20, 19, 18, 17};
    static const char *const name[] = {"a-name-of-ten", "\xe7\x9f\xad\xe3\x81\x84\xe5\x90\x8d\xe5\x89\x8d\xe7\x9f\xad\xe3\x81\x84\xe5\x90\x8d", "x"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(widths); i++) {
        struct weir_table *t = weir_table_new(columns, WEIR_ARRAY_LEN(columns));
        for (size_t k = 0; k < WEIR_ARRAY_LEN(name); k++) {
            weir_table_cell(t, "1");
            weir_table_cell(t, name[k]);
            weir_table_cell(t, "|");
        }
        struct weir_term term = {.width = widths[i]};
        struct weir_str out = WEIR_STR_INIT(4096);
        weir_table_render(t, &term, &out);
        struct weir_sv rest = weir_str_sv(&out);
        (void)weir_sv_cut(&rest, '\n');
        size_t first = 0;
        for (size_t k = 0; k < WEIR_ARRAY_LEN(name); k++) {
            struct weir_sv line = weir_sv_cut(&rest, '\n');
            size_t at = weir_out_columns((struct weir_sv){line.p, (size_t)((const char *)memchr(line.p, '|', line.n) - line.p)});
            first = k == 0 ? at : first;
            assert_int_equal(at, first);
        }
        weir_str_release(&out);
        weir_table_free(t);
    }
}

static void colours_do_not_move_columns(void **state)
{
    (void)state;
    struct weir_table *t = table();
    struct weir_term term = {.colour = true};
    struct weir_str out = WEIR_STR_INIT(4096);
    weir_table_render(t, &term, &out);
    assert_non_null(strstr(weir_str_cstr(&out), " 7  gr\xc3\xbc\xc3\x9f"
                                                "e  \033[32msucceeded\033[0m\n"));
    weir_str_release(&out);
    weir_table_free(t);
}

static void narrow_terminals_cut_what_may_be_cut(void **state)
{
    (void)state;
    struct weir_table *t = weir_table_new(columns, WEIR_ARRAY_LEN(columns));
    weir_table_cell(t, "1");
    weir_table_cell(t, "a name that is far too long to be shown whole");
    weir_table_cell(t, "running");
    struct weir_term term = {.width = 30};
    struct weir_str out = WEIR_STR_INIT(4096);
    weir_table_render(t, &term, &out);
    assert_string_equal(weir_str_cstr(&out), "ID  NAME               STATE\n 1  a name that is f~  running\n");
    weir_str_release(&out);
    weir_table_free(t);
}

static void no_line_is_wider_than_the_terminal(void **state)
{
    (void)state;
    static const struct weir_column wide[] = {
        {"ID", .right = true}, {"NAME", .shrink = true, .min = 10}, {"POOL", .drop = 1}, {"COST", .right = true},
        {"NOTE", .drop = 2}};
    static const unsigned widths[] = {0, 39, 34, 22, 9, 1};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(widths); i++) {
        struct weir_table *t = weir_table_new(wide, WEIR_ARRAY_LEN(wide));
        weir_table_cell(t, "1");
        weir_table_cell(t, "a-rather-long-name");
        weir_table_cell(t, "local");
        weir_table_cell(t, "12 USD");
        weir_table_cell(t, "declared");
        struct weir_term term = {.width = widths[i]};
        struct weir_str out = WEIR_STR_INIT(4096);
        weir_table_render(t, &term, &out);
        struct weir_sv rest = weir_str_sv(&out);
        while (rest.n > 0 && widths[i] > 0) {
            struct weir_sv line = weir_sv_cut(&rest, '\n');
            assert_true(weir_out_columns(line) <= widths[i]);
        }
        /* dispensable columns go in their order */
        const char *text = weir_str_cstr(&out);
        assert_int_equal(strstr(text, "NOTE") != NULL, widths[i] == 0 || widths[i] > 34);
        assert_int_equal(strstr(text, "POOL") != NULL, widths[i] == 0 || widths[i] > 22);
        assert_int_equal(strstr(text, "COST") != NULL, widths[i] == 0 || widths[i] > 9);
        weir_str_release(&out);
        weir_table_free(t);
    }
}

static void nothing_that_came_in_drives_the_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } rows[] = {
        {"plain", "plain"},
        {"a\033[31mb", "a?[31mb"},
        {"a\nb\tc", "a b c"},
        {"\xc2\x9b"
         "31m",
         "??31m"},
        {"\xff\xfe", "??"},
        {"\xc3", "?"},
        {"\x7f", "?"},
        {"\xe2\x82\xac", "\xe2\x82\xac"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_str out = WEIR_STR_INIT(256);
        weir_out_clean(&out, weir_sv_of(rows[i].in), false);
        assert_string_equal(weir_str_cstr(&out), rows[i].out);
        weir_str_release(&out);
    }
}

static void amounts_have_units(void **state)
{
    (void)state;
    struct weir_str out = WEIR_STR_INIT(1024);
    weir_out_money(&out, 12345678, "USD");
    weir_str_addc(&out, '|');
    weir_out_rate(&out, 2744705, "EUR");
    weir_str_addc(&out, '|');
    weir_out_mib(&out, 512);
    weir_str_addc(&out, '|');
    weir_out_mib(&out, 65536);
    weir_str_addc(&out, '|');
    weir_out_mib(&out, 1536);
    weir_str_addc(&out, '|');
    weir_out_milli(&out, 16000);
    weir_str_addc(&out, '|');
    weir_out_milli(&out, 500);
    weir_str_addc(&out, '|');
    weir_out_milli(&out, -1250);
    assert_string_equal(weir_str_cstr(&out), "12.35 USD|2.74 EUR/h|512 MiB|64 GiB|1.5 GiB|16|0.5|-1.25");
    weir_str_release(&out);
}

static void text_is_wrapped_at_blanks_under_itself(void **state)
{
    static const struct {
        size_t width;
        const char *text;
        const char *want;
    } table[] = {
        {0, "one two three\n", "one two three\n"},
        {20, "", ""},
        {20, "\n\n", "\n\n"},
        {13, "one two three", "one two three"},
        {12, "one two three\nfour", "one two\nthree\nfour"},
        {8, "one two   three four\n", "one two\nthree\nfour\n"},
        {24, "  --name X  what it is and does\n", "  --name X  what it is\n            and does\n"},
        {24, "  indented text that goes on", "  indented text that\n  goes on"},
        {8, "unbreakable and so on", "unbreakable and so on"},
        {9, "d\xc3\xa9j\xc3\xa0 vu two", "d\xc3\xa9j\xc3\xa0 vu\ntwo"},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(table); i++) {
        struct weir_str out = WEIR_STR_INIT(256);
        weir_out_wrap(&out, weir_sv_of(table[i].text), table[i].width);
        assert_string_equal(weir_str_cstr(&out), table[i].want);
        weir_str_release(&out);
    }
}

static void progress_tells_share_rate_and_time_left(void **state)
{
    static const struct {
        const char *label;
        const char *what;
        const char *unit;
        unsigned percent;
        double per_second;
        int64_t left_us;
        const char *want;
    } table[] = {
        {"muri", NULL, "jobs", 0, 0, -1, "muri: 0 %"},
        {"muri", NULL, "jobs", 34, 52301.4, 72 * WEIR_US_PER_S, "muri: 34 %, 52,301 jobs/s, 1m 12s left"},
        {"muri", NULL, "jobs", 34, 1234567, 1, "muri: 34 %, 1,234,567 jobs/s, 1s left"},
        {"muri", NULL, "runs", 99, 0.25, 7300 * WEIR_US_PER_S, "muri: 99 %, 0.25 runs/s, 2h 1m left"},
        {"muri", NULL, "runs", 50, 999, WEIR_US_PER_S + 1, "muri: 50 %, 999 runs/s, 2s left"},
        {"muri", "reading", NULL, 12, 250, 3 * WEIR_US_PER_S, "muri: reading, 12 %, 3s left"},
        {NULL, "local-only", "tasks", 12, 2500, 3 * WEIR_US_PER_S, "local-only, 12 %, 2,500 tasks/s, 3s left"},
        {"muri", NULL, "jobs", 100, 10, 0, "muri: 100 %"},
    };
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(table); i++) {
        struct weir_str out = WEIR_STR_INIT(256);
        const struct weir_progress p = {.label = table[i].label, .what = table[i].what, .unit = table[i].unit};
        weir_progress_text(&out, &p, table[i].percent, table[i].per_second, (struct weir_dur){table[i].left_us});
        assert_string_equal(weir_str_cstr(&out), table[i].want);
        weir_str_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_read_in_every_form),
        cmocka_unit_test(a_command_keeps_its_own_options),
        cmocka_unit_test(the_last_one_counts_and_a_dash_is_an_operand),
        cmocka_unit_test(bad_options_are_refused_with_a_remedy),
        cmocka_unit_test(tables_are_aligned_by_characters),
        cmocka_unit_test(colours_do_not_move_columns),
        cmocka_unit_test(columns_are_those_of_the_screen),
        cmocka_unit_test(wide_names_do_not_move_columns),
        cmocka_unit_test(narrow_terminals_cut_what_may_be_cut),
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
        cmocka_unit_test(nothing_that_came_in_drives_the_terminal),
        cmocka_unit_test(amounts_have_units),
        cmocka_unit_test(text_is_wrapped_at_blanks_under_itself),
        cmocka_unit_test(progress_tells_share_rate_and_time_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
