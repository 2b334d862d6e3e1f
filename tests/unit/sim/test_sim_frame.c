/* SPDX-License-Identifier: Apache-2.0 */
/* What all suites stand on: reading files, giving rows, writing schedules, understanding options. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "cloud/input.h"
#include "sim/result.h"
#include "sim/schedule.h"
#include "sim/sim.h"

#include "temp_files.h"

static const struct weir_input_column a_b_c[] = {{"a"}, {"b"}, {"c", .optional = true}};

/* All records of the table as "A|B|C;"; what went wrong instead, with the path cut off the front. */
static void read_table(struct weir_str *out)
{
    struct weir_err err = {0};
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    int r = weir_input_table(&in, path, a_b_c, WEIR_ARRAY_LEN(a_b_c), &err);
    if (r == 0) {
        while ((r = weir_input_next(in, &err)) == 1) {
            for (size_t i = 0; i < weir_input_fields(in); i++) {
                weir_str_addf(out, "%s%.*s", i == 0 ? "" : "|", WEIR_SV_ARG(weir_input_field(in, i)));
            }
            weir_str_addc(out, ';');
        }
    }
    if (r < 0) {
        const char *text = err.text;
        weir_str_adds(out, strncmp(text, path, strlen(path)) == 0 ? text + strlen(path) : text);
    }
}

static void a_table_is_read_in_any_of_its_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {
        {"a,b\n1,2\n3,4\n", "1|2|;3|4|;"},
        {"a,b\r\n1,2\r\n3,4\r\n", "1|2|;3|4|;"},
        {"a,b\n1,2", "1|2|;"},
        {"\xef\xbb\xbf" "a,b\n1,2\n", "1|2|;"},
        {"x,c,B,A\n9,3,2,1\n", "1|2|3;"},
        {"\n# said before\na,b\n\n1,2\n# said between\n3,4\n\n", "1|2|;3|4|;"},
        {"a,b\n\"1,5\",\"say \"\"b\"\"\"\n", "1,5|say \"b\"|;"},
        {"a,b\n 1 , 2 \n", "1|2|;"},
        {"a,b\n1\n", "1||;"},
        {"a,b\n", ""},
        {"", " is empty: a first line with the columns' names is expected"},
        {"\n\n", " is empty: a first line with the columns' names is expected"},
        {"a,d,e\n1,2,3\n", ":1: there is no column 'b'; the columns are: a, d, e"},
        {"a,b\n1,\"2\n", ":2: a quoted field is not closed"},
        {"a,b\n1,\"2\n\"\n3,4\n5,\"\n", "1|2\n|;3|4|;:5: a quoted field is not closed"},
        {"a,b\r\n1,\"x\r\n\"\"y\"\r\n3,4\r\n", "1|x\n\"y|;3|4|;"},
        {"a,b\n1,2\n\"3\"x,4\n", "1|2|;:3: text follows a closing quote in field 1"},
        {"a,b\n1,\xff\n", ":2: field 2 is not UTF-8 text"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        WEIR_CLEANUP(weir_str_release) struct weir_str got = WEIR_STR_INIT(4096);
        put(rows[i].text);
        read_table(&got);
        assert_string_equal(weir_str_cstr(&got), rows[i].want);
    }
}

static void a_nul_byte_hides_nothing(void **state)
{
    (void)state;
    WEIR_CLEANUP(weir_str_release) struct weir_str got = WEIR_STR_INIT(4096);
    static const char bytes[] = "a,b\n1,2\0003\n4,5\n";
    put_bytes(path, bytes, sizeof bytes - 1);
    read_table(&got);
    assert_string_equal(weir_str_cstr(&got), ":2: field 2 is not UTF-8 text");
}

/* a,b and n records i,i*7 */
static void put_gzip(unsigned n)
{
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    gzputs(f, "a,b\n");
    for (unsigned i = 0; i < n; i++) {
        assert_true(gzprintf(f, "%u,%u\n", i, i * 7) > 0);
    }
    assert_int_equal(gzclose(f), Z_OK);
}

static int sum_table(int64_t *sum, struct weir_err *err)
{
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    int r = weir_input_table(&in, path, a_b_c, 2, err);
    *sum = 0;
    while (r >= 0 && (r = weir_input_next(in, err)) == 1) {
        int64_t b = 0;
        r = weir_input_i64(in, 1, 0, INT64_MAX, &b, err);
        *sum += b;
        assert_in_range(weir_input_permille(in), 0, 1000);
    }
    return r;
}

static void gzip_reads_as_plain_and_a_cut_file_is_told(void **state)
{
    (void)state;
    const int64_t n = 50000;
    struct weir_err err = {0};
    int64_t sum;
    put_gzip((unsigned)n);
    assert_int_equal(sum_table(&sum, &err), 0);
    assert_int_equal(sum, 7 * n * (n - 1) / 2);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    for (off_t keep = 20; keep < st.st_size; keep += st.st_size / 7) {
        put_gzip((unsigned)n);
        assert_int_equal(truncate(path, keep), 0);
        assert_int_equal(sum_table(&sum, &err), -WEIR_ECORRUPT);
        assert_non_null(strstr(err.text, "the compressed file is cut off"));
    }
    put_gzip((unsigned)n);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)st.st_size / 2, SEEK_SET), 0);
    for (int i = 0; i < 64; i++) {
        assert_int_not_equal(fputc(0xff, f), EOF);
    }
    assert_int_equal(fclose(f), 0);
    assert_int_equal(sum_table(&sum, &err), -WEIR_ECORRUPT);
}

static void lines_may_be_long_but_not_without_end(void **state)
{
    (void)state;
    WEIR_CLEANUP(weir_freep) char *text = weir_alloc(3 * WEIR_INPUT_LINE_BYTES_MAX);
    struct weir_err err = {0};
    static const struct {
        size_t n;
        int want;
    } rows[] = {{WEIR_INPUT_LINE_BYTES_MAX - 1, 1}, {WEIR_INPUT_LINE_BYTES_MAX, 1}, {WEIR_INPUT_LINE_BYTES_MAX + 1, -WEIR_ELIMIT},
                {2 * WEIR_INPUT_LINE_BYTES_MAX + 100, -WEIR_ELIMIT}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        for (int ended = 0; ended < 2; ended++) {
            memset(text, 'x', rows[i].n);
            text[1000] = ' ';
            text[rows[i].n] = '\n';
            put_bytes(path, text, rows[i].n + (size_t)ended);
            WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
            assert_int_equal(weir_input_log(&in, path, ';', &err), 0);
            assert_int_equal(weir_input_next(in, &err), rows[i].want);
            if (rows[i].want == 1) {
                assert_int_equal(weir_input_field(in, 1).n, rows[i].n - 1001);
                assert_int_equal(weir_input_next(in, &err), 0);
            } else {
                assert_non_null(strstr(err.text, "/input:1: the line is longer than 1048576 bytes"));
            }
        }
    }
}

static void a_log_is_cut_at_blanks(void **state)
{
    (void)state;
    struct weir_err err = {0};
    put("; a comment\n\n  1\t22  3.5 \n;9\n4 -1\n");
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    assert_int_equal(weir_input_log(&in, path, ';', &err), 0);
    int64_t i = 0;
    double d = 0;
    assert_int_equal(weir_input_next(in, &err), 1);
    assert_int_equal(weir_input_fields(in), 3);
    assert_int_equal(weir_input_i64(in, 1, 0, 100, &i, &err), 0);
    assert_int_equal(i, 22);
    assert_int_equal(weir_input_real(in, 2, 0, 100, &d, &err), 0);
    assert_true(d == 3.5);
    assert_int_equal(weir_input_next(in, &err), 1);
    assert_int_equal(weir_input_i64(in, 1, 0, 100, &i, &err), -WEIR_EOVERFLOW);
    assert_non_null(strstr(err.text, "/input:5: field 2: -1 is not between 0 and 100"));
    assert_int_equal(weir_input_i64(in, 7, 0, 100, &i, &err), -WEIR_EINVAL);
    assert_int_equal(weir_input_next(in, &err), 0);
}

static void a_bad_field_is_named_with_file_line_and_column(void **state)
{
    (void)state;
    struct weir_err err = {0};
    put("a,b\n1,nan\n");
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    assert_int_equal(weir_input_table(&in, path, a_b_c, 3, &err), 0);
    assert_int_equal(weir_input_next(in, &err), 1);
    double d = 7;
    assert_int_equal(weir_input_real(in, 1, 0, 10, &d, &err), -WEIR_EINVAL);
    assert_true(d == 7);
    assert_non_null(strstr(err.text, "/input:2: column 'b': 'nan' is not a number"));
    assert_int_equal(weir_input_real(in, 2, 0, 10, &d, &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "/input:2: column 'c': '' is not a number"));
}

static void what_is_no_file_is_refused_by_name(void **state)
{
    (void)state;
    struct weir_err err = {0};
    struct weir_input *in = NULL;
    assert_int_equal(weir_input_table(&in, dir, a_b_c, 2, &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "is a directory: name a file"));
    (void)unlink(path);
    assert_int_equal(weir_input_table(&in, path, a_b_c, 2, &err), -WEIR_ENOTFOUND);
    assert_non_null(strstr(err.text, path));
    assert_null(in);
}

static void rows_become_json_in_the_order_given(void **state)
{
    (void)state;
    struct weir_sim_result r;
    weir_sim_result_init(&r, "demo");
    struct weir_sim_row *row = weir_sim_row(&r, "first");
    weir_sim_case_count(row, "nodes", 64);
    weir_sim_case_real(row, "delay", 0.1);
    weir_sim_case_text(row, "zone", "a\"b");
    weir_sim_metric(row, "cost", 438413.6);
    weir_sim_metric(row, "third", 1.0 / 3);
    weir_sim_metric(row, "none", NAN);
    weir_sim_metric(row, "endless", INFINITY);
    weir_sim_metric(row, "zero", -0.0);
    weir_sim_metric_count(row, "n", -3);
    row = weir_sim_row(&r, "second");
    weir_sim_metric_none(row, "cost");
    WEIR_CLEANUP(weir_str_release) struct weir_str out = WEIR_STR_INIT(4096);
    weir_sim_result_json(&r, &out);
    assert_string_equal(weir_str_cstr(&out),
                        "{\"suite\":\"demo\",\"rows\":[{\"case\":{\"nodes\":64,\"delay\":0.1,\"zone\":\"a\\\"b\"},"
                        "\"policy\":\"first\",\"cost\":438413.6,\"third\":0.333333333,\"none\":null,\"endless\":null,"
                        "\"zero\":0,\"n\":-3},{\"case\":{},\"policy\":\"second\",\"cost\":null}],"
                        "\"trace_hash\":\"596df975efe93b6b\"}\n");
    assert_null(weir_sim_row_field(&r.row[1], "n"));
    assert_int_equal(weir_sim_row_field(&r.row[0], "n")->u.count, -3);
    weir_sim_result_release(&r);
}

static void the_hash_takes_order_and_bounds_of_what_it_is_given(void **state)
{
    (void)state;
    struct weir_sim_result a;
    struct weir_sim_result b;
    weir_sim_result_init(&a, "demo");
    weir_sim_result_init(&b, "demo");
    weir_sim_hash_u64(&a, 1);
    weir_sim_hash_u64(&a, 2);
    weir_sim_hash_u64(&b, 2);
    weir_sim_hash_u64(&b, 1);
    assert_true(a.hash != b.hash);
    assert_true(a.hash == UINT64_C(0xcd16f1b86f9d71a8));
    weir_sim_result_init(&a, "demo");
    weir_sim_result_init(&b, "demo");
    weir_sim_hash_text(&a, "ab");
    weir_sim_hash_text(&b, "a");
    weir_sim_hash_text(&b, "b");
    assert_true(a.hash != b.hash);
}

static void a_schedule_is_a_file_of_spans(void **state)
{
    (void)state;
    struct weir_err err = {0};
    struct weir_sim_schedule *s = NULL;
    assert_int_equal(weir_sim_schedule_open(&s, NULL, "x", &err), 0);
    assert_null(s);
    const struct weir_sim_span cloud = {.task = 7, .submit = 0.5, .start = 1, .end = 3601, .place = "cloud", .node = -1,
                                        .gpus = 0.25, .cost = 0.1};
    weir_sim_schedule_add(s, &cloud);
    assert_int_equal(weir_sim_schedule_close(s, &err), 0);

    char name[128];
    char folder[96];
    snprintf(folder, sizeof folder, "%s/out", dir);
    assert_int_equal(weir_sim_schedule_open(&s, folder, "weir n=64/1,2", &err), 0);
    weir_sim_schedule_add(s, &cloud);
    weir_sim_schedule_add(s, &(struct weir_sim_span){.task = 8, .end = 1507222800.125, .place = "local", .gpus = 8});
    assert_int_equal(weir_sim_schedule_close(s, &err), 0);
    snprintf(name, sizeof name, "%s/weir_n_64_1_2.csv", folder);
    char text[512] = "";
    FILE *f = fopen(name, "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f);
    assert_string_equal(text, "task,submit,start,end,place,node,gpus,cost\n7,0.5,1,3601,cloud,,0.25,0.1\n"
                              "8,0,0,1507222800.125,local,0,8,0\n");
    assert_int_equal(unlink(name), 0);
    assert_int_equal(rmdir(folder), 0);

    put("");
    assert_true(weir_sim_schedule_open(&s, path, "x", &err) < 0);
    assert_non_null(strstr(err.text, path));
}

static void lists_name_numbers_and_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n; /* 0: refused */
        int64_t first;
        int64_t last;
        const char *message;
    } rows[] = {
        {"48,64", 2, 48, 64, NULL},
        {"42-51", 10, 42, 51, NULL},
        {"1, 3-5 ,9", 5, 1, 9, NULL},
        {"7-7", 1, 7, 7, NULL},
        {"1-64", 64, 1, 64, NULL},
        {"", 0, 0, 0, "--nodes: '' is not a whole number"},
        {"4,", 0, 0, 0, "--nodes: '' is not a whole number"},
        {"4,x", 0, 0, 0, "--nodes: 'x' is not a whole number"},
        {"5-3", 0, 0, 0, "--nodes: 5-3 runs backwards: the lower number comes first, 3-5"},
        {"-3", 0, 0, 0, "--nodes: -3 is not between 1 and 1000"},
        {"0", 0, 0, 0, "--nodes: 0 is not between 1 and 1000"},
        {"1-65", 0, 0, 0, "--nodes: more than 64 values"},
        {"1-1001", 0, 0, 0, "--nodes: 1001 is not between 1 and 1000"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_err err = {0};
        int64_t v[WEIR_SIM_LIST_MAX] = {0};
        size_t n = 0;
        int r = weir_sim_list_i64(rows[i].text, "nodes", 1, 1000, v, &n, &err);
        assert_int_equal(r == 0, rows[i].n > 0);
        if (r == 0) {
            assert_int_equal(n, rows[i].n);
            assert_int_equal(v[0], rows[i].first);
            assert_int_equal(v[n - 1], rows[i].last);
        } else {
            assert_string_equal(err.text, rows[i].message);
        }
    }
}

static void lists_of_fractions_are_exact_millionths(void **state)
{
    (void)state;
    struct weir_err err = {0};
    int64_t v[WEIR_SIM_LIST_MAX] = {0};
    size_t n = 0;
    assert_int_equal(weir_sim_list_micro("0.02,0.05, 0.1", "overheads", 0, 1000000, v, &n, &err), 0);
    assert_int_equal(n, 3);
    assert_int_equal(v[0], 20000);
    assert_int_equal(v[2], 100000);
    assert_int_equal(weir_sim_list_micro("0.02,2", "overheads", 0, 1000000, v, &n, &err), -WEIR_EOVERFLOW);
    assert_string_equal(err.text, "--overheads: 2 is not between 0 and 1");
    assert_int_equal(weir_sim_list_micro("a", "overheads", 0, 1000000, v, &n, &err), -WEIR_EINVAL);
}

static void policies_are_all_unless_some_are_named(void **state)
{
    (void)state;
    struct weir_sim_options o = {0};
    assert_true(weir_sim_wants(&o, "weir"));
    o.policies = "optimum, weir";
    assert_true(weir_sim_wants(&o, "weir"));
    assert_true(weir_sim_wants(&o, "optimum"));
    assert_false(weir_sim_wants(&o, "wei"));
}

static void inputs_are_named_or_sought_in_the_data_folder(void **state)
{
    (void)state;
    struct weir_err err = {0};
    WEIR_CLEANUP(weir_freep) char *got = NULL;
    WEIR_CLEANUP(weir_freep) char *given = NULL;
    struct weir_sim_options o = {.data = "traces"};
    assert_int_equal(weir_sim_path(&got, &o, NULL, "jobs", "x/y.csv", &err), 0);
    assert_string_equal(got, "traces/x/y.csv");
    assert_int_equal(weir_sim_path(&given, &o, "own.csv", "jobs", "x/y.csv", &err), 0);
    assert_string_equal(given, "own.csv");
    o.data = NULL;
    char *none = NULL;
    assert_int_equal(weir_sim_path(&none, &o, NULL, "jobs", "x/y.csv", &err), -WEIR_EINVAL);
    assert_string_equal(err.text, "say where the input is: --jobs FILE, or --data DIR with x/y.csv in it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_read_in_any_of_its_forms),
        cmocka_unit_test(a_nul_byte_hides_nothing),
        cmocka_unit_test(gzip_reads_as_plain_and_a_cut_file_is_told),
        cmocka_unit_test(lines_may_be_long_but_not_without_end),
        cmocka_unit_test(a_log_is_cut_at_blanks),
        cmocka_unit_test(a_bad_field_is_named_with_file_line_and_column),
        cmocka_unit_test(what_is_no_file_is_refused_by_name),
        cmocka_unit_test(rows_become_json_in_the_order_given),
        cmocka_unit_test(the_hash_takes_order_and_bounds_of_what_it_is_given),
        cmocka_unit_test(a_schedule_is_a_file_of_spans),
        cmocka_unit_test(lists_name_numbers_and_ranges),
        cmocka_unit_test(lists_of_fractions_are_exact_millionths),
        cmocka_unit_test(policies_are_all_unless_some_are_named),
        cmocka_unit_test(inputs_are_named_or_sought_in_the_data_folder),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
