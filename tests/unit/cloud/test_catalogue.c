/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue: what is taken, what is refused and why, and how offers are ranked. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cloud/csv.h"
#include "cloud/offers.h"

#define HEAD                                                                                                           \
    "provider,instance_type,region,zone,gpu,gpus,gpu_mem_mib,vcpus,memory_gib,market,"                                 \
    "price_per_hour,currency,basis,reclaim_ppm_per_hour,source,date\n"

/* 2026-11-22T00:00:00Z */
static const struct weir_wall now = {INT64_C(1795305600000000)};

static struct weir_catalogue *load(struct weir_gpu_table *gpus, const char *rows)
{
    struct weir_catalogue *c = weir_catalogue_new(gpus, "USD");
    struct weir_err err = {""};
    struct weir_str text = WEIR_STR_INIT(1 << 20);
    weir_str_adds(&text, HEAD);
    weir_str_adds(&text, rows);
    assert_int_equal(weir_catalogue_load_rows(c, "t.csv", weir_str_sv(&text), &err), 0);
    weir_str_release(&text);
    weir_catalogue_seal(c);
    return c;
}

static void quoted_fields_are_read_and_bad_records_cost_one_line(void **state)
{
    (void)state;
    static const char text[] = "# a comment\n\na,\"b,1\",\"say \"\"hi\"\"\"\r\nx,\"open\ny,\"q\"z\nlast,,";
    struct weir_csv c;
    struct weir_err err;
    weir_csv_init(&c, WEIR_SV("\xef\xbb\xbfone\n"));
    assert_int_equal(weir_csv_next(&c, &err), 1);
    assert_true(weir_sv_eq(c.field[0], WEIR_SV("one")));
    weir_csv_release(&c);
    weir_csv_init(&c, WEIR_SV("a,\"b\r\nc\"\r\na,\"b\rc\"\r\n"));
    assert_int_equal(weir_csv_next(&c, &err), 1);
    assert_true(weir_sv_eq(c.field[1], WEIR_SV("b\nc")));
    assert_int_equal(weir_csv_next(&c, &err), -WEIR_EINVAL); /* a return alone ends no line: it is a control character */
    assert_string_equal(err.text, "field 2 is not UTF-8 text");
    weir_csv_release(&c);
    weir_csv_init(&c, weir_sv_of(text));
    assert_int_equal(weir_csv_next(&c, &err), 1);
    assert_int_equal(c.record_line, 3);
    assert_int_equal(c.n_fields, 3);
    assert_true(weir_sv_eq(c.field[1], WEIR_SV("b,1")));
    assert_true(weir_sv_eq(c.field[2], WEIR_SV("say \"hi\"")));
    assert_int_equal(weir_csv_next(&c, &err), -WEIR_EINVAL);
    assert_int_equal(c.record_line, 4);
    assert_int_equal(weir_csv_next(&c, &err), -WEIR_EINVAL);
    assert_int_equal(c.record_line, 5);
    assert_int_equal(weir_csv_next(&c, &err), 1);
    assert_int_equal(c.n_fields, 3);
    assert_true(weir_sv_eq(c.field[0], WEIR_SV("last")));
    assert_int_equal(weir_csv_next(&c, &err), 0);
    weir_csv_release(&c);
}

static void a_row_becomes_an_offer_to_the_micro_unit(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_catalogue *c = weir_catalogue_new(gpus, "USD");
    struct weir_err err;
    assert_int_equal(
        weir_catalogue_load_providers(c, "providers.csv",
                                      WEIR_SV("provider,bill_quantum,bill_minimum,boot_expected,reclaim_notice,"
                                              "reclaim_ppm_per_hour,egress_per_gib,assumed,source,date\n"
                                              "aws,1s,60s,150s,2m,300,0.09,,a guide,2026-08-22\n"),
                                      &err),
        0);
    assert_int_equal(weir_catalogue_load_rows(c, "aws.csv",
                                              WEIR_SV(HEAD "aws,p4d.24xlarge,us-east-1,us-east-1a,NVIDIA A100,8,40960,"
                                                           "96,1152.5,spot,21.957642,USD,list,1234,a list,2026-07-20\n"
                                                           "aws,p4d.24xlarge,us-east-1,,A100,8,,96,1152,on_demand,"
                                                           "30,USD,list,99,a list,2026-07-20\n"),
                                              &err),
                     0);
    weir_catalogue_seal(c);
    size_t n;
    const struct weir_offer *o = weir_catalogue_offers(c, "aws", &n);
    assert_int_equal(n, 2);
    assert_int_equal(o[0].market, WEIR_OFFER_ON_DEMAND);
    assert_int_equal(o[0].reclaim_ppm_per_hour, 0);
    assert_int_equal(o[0].gpu_mem_mib, 40960); /* from the GPU table */
    assert_int_equal(o[1].price_micro_per_hour, 21957642);
    assert_int_equal(o[1].mem_mib, 1180160);
    assert_int_equal(o[1].cpu_milli, 96000);
    assert_int_equal(o[1].reclaim_ppm_per_hour, 1234);
    assert_int_equal(o[1].reclaim_notice.us, 120 * WEIR_US_PER_S);
    assert_int_equal(o[1].bill_minimum.us, 60 * WEIR_US_PER_S);
    assert_int_equal(o[1].egress_micro_per_gib, 90000);
    assert_string_equal(o[1].zone, "us-east-1a");
    assert_true(o[0].id != o[1].id && o[0].id != 0);
    struct weir_offer copy = o[1];
    assert_int_equal(weir_offer_id(&copy), o[1].id);
    assert_null(weir_catalogue_offers(c, "gcp", &n));
    assert_int_equal(n, 0);
    weir_catalogue_free(c);
    weir_gpu_table_free(gpus);
}

static void bad_rows_are_refused_with_line_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        const char *reason; /* a part of it */
    } rows[] = {
        {"x,t,r,,A100,1,,1,1,on_demand,0,USD,list,,s,2026-01-01", "a price of 0 is not a price"},
        {"x,t,r,,A100,1,,1,1,on_demand,-1,USD,list,,s,2026-01-01", "is not a price"},
        {"x,t,r,,A100,1,,1,1,on_demand,abc,USD,list,,s,2026-01-01", "price_per_hour 'abc'"},
        {"x,t,r,,A100,1,,1,1,on_demand,,USD,list,,s,2026-01-01", "price_per_hour"},
        {"x,t,r,,A100,1,,1,1,on_demand,1e5,USD,list,,s,2026-01-01", "price_per_hour '1e5'"},
        {"x,t,r,,A100,1,,1,1,on_demand,999999999999,USD,list,,s,2026-01-01", "price_per_hour"},
        {"x,t,r,,A100,1,,1,1,on_demand,900,USD,list,,s,2026-01-01", "outside of 0.005 to 500"},
        {"x,t,r,,A100,1,,1,1,on_demand,1,EUR,list,,s,2026-01-01", "no rate of EUR is in force"},
        {"x,t,r,,A100,1,,1,1,on_demand,1,Euro,list,,s,2026-01-01", "three-letter"},
        {"x,t,r,,A100,1,,1,1,weekly,1,USD,list,,s,2026-01-01", "market 'weekly'"},
        {"x,t,r,,A100,1,,1,1,spot,1,USD,guess,,s,2026-01-01", "basis 'guess'"},
        {"x,t,r,,A100,33,,1,1,spot,1,USD,list,,s,2026-01-01", "gpus"},
        {"x,t,r,,A100,0,,1,1,spot,1,USD,list,,s,2026-01-01", "gpus is 0"},
        {"x,t,r,,,1,,1,1,spot,1,USD,list,,s,2026-01-01", "gpu ''"},
        {"x,t,r,,A100,1,,1,1,spot,1,USD,list,,s,2026-13-01", "2026-13-01"},
        {"x,t,r,,A100,1,,1,1,spot,1,USD,list,,,2026-01-01", "source is missing"},
        {",t,r,,A100,1,,1,1,spot,1,USD,list,,s,2026-01-01", "provider is missing"},
        {"x,t,r,,A100,1,,1,1,spot,1,USD,list,2000000,s,2026-01-01", "reclaim_ppm_per_hour"},
        {"x,t,r,,A100,1,,-1,1,spot,1,USD,list,,s,2026-01-01", "vcpus is negative"},
        {"a-provider-whose-name-is-much-too-long,t,r,,A100,1,,1,1,spot,1,USD,list,,s,2026-01-01",
         "longer than 23 bytes"},
        {"x,t,r", "3 fields where the header has 16"},
        {"x,\"t,r", "not closed"},
        {"x,t\x01,r,,A100,1,,1,1,spot,1,USD,list,,s,2026-01-01", "not UTF-8 text"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_gpu_table *gpus = weir_gpu_table_new();
        struct weir_catalogue *c = load(gpus, rows[i].row);
        size_t n;
        size_t total;
        const struct weir_catalogue_problem *p = weir_catalogue_problems(c, &n, &total);
        assert_int_equal(n, 1);
        assert_int_equal(total, 1);
        assert_int_equal(p[0].line, 2);
        assert_string_equal(p[0].file, "t.csv");
        if (strstr(p[0].text, rows[i].reason) == NULL) {
            fail_msg("row %zu: '%s' does not say '%s'", i, p[0].text, rows[i].reason);
        }
        (void)weir_catalogue_offers(c, NULL, &n);
        assert_int_equal(n, 0);
        weir_catalogue_free(c);
        weir_gpu_table_free(gpus);
    }
}

static void another_currency_is_taken_at_its_rate_rounded_up(void **state)
{
    (void)state;
    static const char rows[] = "a,one,eu,,A100,1,,,,on_demand,1.999999,EUR,list,,a list,2026-07-20\n"
                               "a,two,eu,,A100,1,,,,on_demand,150000,JPY,list,,a list,2026-07-20\n"
                               "a,three,eu,,A100,1,,,,on_demand,2,CHF,list,,a list,2026-07-20\n"
                               "a,four,eu,,A100,1,,,,on_demand,9000000000,EUR,list,,a list,2026-07-20\n";
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_catalogue *c = weir_catalogue_new(gpus, "USD");
    struct weir_str text = WEIR_STR_INIT(1 << 20);
    struct weir_err err;
    weir_catalogue_rate(c, "EUR", 1084237000);
    weir_catalogue_rate(c, "JPY", 6700000);
    weir_str_addf(&text, HEAD "%s", rows);
    assert_int_equal(weir_catalogue_load_rows(c, "t.csv", weir_str_sv(&text), &err), 0);
    weir_catalogue_seal(c);
    size_t n;
    const struct weir_offer *o = weir_catalogue_offers(c, "a", &n);
    assert_int_equal(n, 1);
    assert_int_equal(o->price_micro_per_hour, 2168473); /* 2.168472915763 */
    assert_string_equal(o->currency, "EUR");
    assert_int_equal(o->original_micro_per_hour, 1999999);
    assert_int_equal(o->rate_nano, 1084237000);
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    weir_catalogue_write(c, "a", &out); /* as it was */
    assert_non_null(strstr(weir_str_cstr(&out), ",1.999999,EUR,"));
    weir_str_release(&out);
    const struct weir_refused_offer *f = weir_catalogue_refused(c, &n);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++) {
        static const struct {
            const char *type;
            enum weir_price_refusal refusal;
            const char *text;
        } want[] = {{"two", WEIR_PRICE_REFUSED_IMPLAUSIBLE, "1005.000000 USD per GPU-hour is outside of 0.005 to 500 USD"},
                    {"three", WEIR_PRICE_REFUSED_CURRENCY, "weir rule add NAME exchange --currency CHF --rate RATE"},
                    {"four", WEIR_PRICE_REFUSED_IMPLAUSIBLE, "at the rate of EUR that is in force the price is out of range"}};
        size_t k = 0;
        while (strcmp(want[k].type, f[i].offer.instance_type) != 0) {
            assert_true(++k < 3);
        }
        assert_int_equal(f[i].refusal, want[k].refusal);
        assert_non_null(strstr(f[i].text, want[k].text));
    }
    weir_str_release(&text);
    weir_catalogue_free(c);
    weir_gpu_table_free(gpus);
}

static void prices_in_usd_need_a_rate_where_the_ledger_is_in_another(void **state)
{
    (void)state;
    static const char rows[] = "a,one,eu,,A100,1,,,,on_demand,2,USD,list,,a list,2026-07-20\n"
                               "a,dear,eu,,A100,1,,,,on_demand,501,USD,list,,a list,2026-07-20\n"
                               "a,own,eu,,A100,1,,,,on_demand,300,JPY,list,,a list,2026-07-20\n"
                               "a,cheap,eu,,A100,1,,,,on_demand,0.5,JPY,list,,a list,2026-07-20\n"
                               "a,eight,eu,,A100,8,,,,on_demand,2400,JPY,list,,a list,2026-07-20\n";
    static const char sky[] = "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Price,SpotPrice,Region\nsky,8,64,A100,1,,3,1.50,eu\n";
    for (int64_t rate = 0; rate <= INT64_C(150000000000); rate += INT64_C(150000000000)) {
        struct weir_gpu_table *gpus = weir_gpu_table_new();
        struct weir_catalogue *c = weir_catalogue_new(gpus, "JPY");
        struct weir_str text = WEIR_STR_INIT(1 << 20);
        struct weir_err err;
        size_t taken;
        size_t n;
        if (rate != 0) {
            weir_catalogue_rate(c, "USD", rate);
        }
        weir_str_addf(&text, HEAD "%s", rows);
        assert_int_equal(weir_catalogue_load_rows(c, "t.csv", weir_str_sv(&text), &err), 0);
        assert_int_equal(weir_catalogue_load_skypilot(c, "sky.csv", weir_sv_of(sky), "a", "a list", (struct weir_wall){1}, &taken, &err), 0);
        weir_catalogue_seal(c);
        const struct weir_offer *o = weir_catalogue_offers(c, "a", &n);
        assert_int_equal(n, rate == 0 ? 3 : 5);
        for (size_t i = 0; i < n; i++) {
            bool foreign = weir_streq(o[i].instance_type, "one") || weir_streq(o[i].instance_type, "sky");
            assert_string_equal(o[i].currency, foreign ? "USD" : "");
            assert_int_equal(o[i].rate_nano, foreign ? rate : 0);
            assert_int_equal(o[i].price_micro_per_hour, foreign ? o[i].original_micro_per_hour * 150 : o[i].price_micro_per_hour);
            assert_int_equal(o[i].egress_micro_per_gib, 100000 * rate / 1000000000); /* of a provider that nobody described: 0.10 USD */
        }
        const struct weir_refused_offer *f = weir_catalogue_refused(c, &n);
        assert_int_equal(n, rate == 0 ? 4 : 2);
        for (size_t i = 0; i < n; i++) {
            assert_non_null(strstr(f[i].text, rate == 0 ? "no rate of USD is in force: weir rule add NAME exchange --currency USD --rate RATE"
                                                        : "JPY per GPU-hour is outside of 0.005 to 500 USD"));
        }
        weir_str_release(&text);
        weir_catalogue_free(c);
        weir_gpu_table_free(gpus);
    }
}

static void headers_are_checked_with_a_suggestion(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_catalogue *c = weir_catalogue_new(gpus, "USD");
    struct weir_err err;
    assert_int_equal(weir_catalogue_load_rows(c, "t.csv", WEIR_SV("provider,regoin\n"), &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "t.csv:1: unknown column 'regoin'; did you mean 'region'?"));
    assert_int_equal(weir_catalogue_load_rows(c, "t.csv", WEIR_SV("provider\n"), &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "'instance_type' is missing"));
    assert_int_equal(weir_catalogue_load_rows(c, "t.csv", WEIR_SV("provider,provider\n"), &err), -WEIR_EINVAL);
    assert_int_equal(weir_catalogue_load_rows(c, "t.csv", WEIR_SV(""), &err), -WEIR_EINVAL);
    assert_int_equal(weir_catalogue_load_dir(c, "/nonexistent", &err), -WEIR_ENOTFOUND);
    weir_catalogue_seal(c);
    weir_catalogue_free(c);
    weir_gpu_table_free(gpus);
}

static void a_price_far_from_its_kind_is_refused(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_catalogue *c = load(gpus, "x,t1,r,,A100,1,,1,1,on_demand,2.00,USD,list,,s,2026-01-01\n"
                                          "x,t2,r,,A100,2,,1,1,on_demand,4.20,USD,list,,s,2026-01-01\n"
                                          "x,t3,r,,A100,8,,1,1,on_demand,15,USD,list,,s,2026-01-01\n"
                                          "x,t4,r,,A100,1,,1,1,on_demand,0.20,USD,list,,s,2026-01-01\n"
                                          "x,t5,r,,A100,1,,1,1,on_demand,20,USD,list,,s,2026-01-01\n"
                                          "x,t6,r,,A100,1,,1,1,spot,0.20,USD,list,,s,2026-01-01\n"
                                          "x,t7,r,,T4,1,,1,1,on_demand,0.20,USD,list,,s,2026-01-01\n");
    size_t n;
    (void)weir_catalogue_offers(c, NULL, &n);
    assert_int_equal(n, 5); /* another market and another model are kinds of their own */
    const struct weir_refused_offer *f = weir_catalogue_refused(c, &n);
    assert_int_equal(n, 2);
    assert_string_equal(f[0].offer.instance_type, "t4");
    assert_string_equal(f[1].offer.instance_type, "t5");
    assert_int_equal(f[0].refusal, WEIR_PRICE_REFUSED_IMPLAUSIBLE);
    assert_int_equal(f[0].line, 5);
    assert_non_null(strstr(f[0].text, "the median of A100 on_demand is"));
    weir_catalogue_free(c);
    weir_gpu_table_free(gpus);
}

static void the_provider_with_the_most_rows_does_not_decide_what_is_usual(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_catalogue *c = load(gpus, "a,t1,r,,A100,1,,1,1,on_demand,9,USD,list,,s,2026-01-01\n"
                                          "a,t2,r,,A100,1,,1,1,on_demand,9,USD,list,,s,2026-01-01\n"
                                          "a,t3,r,,A100,1,,1,1,on_demand,9,USD,list,,s,2026-01-01\n"
                                          "b,t,r,,A100,1,,1,1,on_demand,1,USD,list,,s,2026-01-01\n"
                                          "d,t,r,,A100,1,,1,1,on_demand,1.20,USD,list,,s,2026-01-01\n"
                                          "e,t,r,,A100,1,,1,1,on_demand,0.10,USD,list,,s,2026-01-01\n");
    size_t n;
    (void)weir_catalogue_offers(c, NULL, &n);
    assert_int_equal(n, 5);
    const struct weir_refused_offer *f = weir_catalogue_refused(c, &n);
    assert_int_equal(n, 1);
    assert_string_equal(f[0].offer.provider, "e");
    weir_catalogue_free(c);
    weir_gpu_table_free(gpus);
}

static void of_duplicates_the_latest_counts(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_catalogue *c = load(gpus, "x,t,r,,A100,1,,1,1,on_demand,2,USD,list,,old,2026-01-01\n"
                                          "x,t,r,,A100,1,,1,1,on_demand,3,USD,list,,new,2026-02-01\n"
                                          "x,t,r,,A100,1,,1,1,on_demand,4,USD,list,,same,2026-02-01\n"
                                          "x,t,r,z,A100,1,,1,1,on_demand,4,USD,list,,zone,2026-02-01\n");
    size_t n;
    const struct weir_offer *o = weir_catalogue_offers(c, NULL, &n);
    assert_int_equal(n, 2);
    assert_string_equal(o[0].source, "new");
    const struct weir_refused_offer *f = weir_catalogue_refused(c, &n);
    assert_int_equal(n, 2);
    assert_string_equal(f[0].text, "the same offer stands in t.csv:3");
    weir_catalogue_free(c);
    weir_gpu_table_free(gpus);
}

static void skypilot_files_are_imported(void **state)
{
    (void)state;
    static const char text[] =
        "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,"
        "AvailabilityZone,Arch\n"
        "p4d.24xlarge,A100,8.0,96.0,1152.0,\"{'Gpus': [{'Name': 'A100', 'Manufacturer': 'NVIDIA', 'Count': "
        "8.0, 'MemoryInfo': {'SizeInMiB': 40960}}], 'TotalGpuMemoryInMiB': 327680}\",32.7726,9.83178,"
        "us-east-1,us-east-1a,x86_64\n"
        "m5.large,,,2.0,8.0,,0.096,0.04,us-east-1,us-east-1a,x86_64\n"
        "g5.xlarge,A10G,1.0,4.0,16.0,,1.0060000000000002,,us-east-1,us-east-1b,x86_64\n"
        "g5.zero,A10G,1.0,4.0,16.0,,0,0.3,us-east-1,us-east-1b,x86_64\n"
        "g6f.large,L4,0.125,2,8,,0.2,,us-east-1,us-east-1b,x86_64\n"
        ",T4,2,,0,T4,0.7,0.22,us-central1,us-central1-b,x86_64\n";
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_catalogue *c = weir_catalogue_new(gpus, "USD");
    struct weir_err err;
    size_t taken = 0;
    assert_int_equal(weir_catalogue_load_skypilot(c, "vms.csv", weir_sv_of(text), "aws", "SkyPilot", now, &taken, &err),
                     0);
    assert_int_equal(taken, 7);
    weir_catalogue_seal(c);
    size_t n;
    const struct weir_offer *o = weir_catalogue_offers(c, "aws", &n);
    assert_int_equal(n, 6);
    size_t total;
    const struct weir_catalogue_problem *p = weir_catalogue_problems(c, &n, &total);
    assert_int_equal(total, 2);
    assert_int_equal(p[0].line, 6);
    assert_non_null(strstr(p[0].text, "AcceleratorCount '0.125'"));
    assert_int_equal(p[1].line, 5);
    /* ordered: us-central1 T4:2 twice, then us-east-1 */
    assert_string_equal(o[0].instance_type, "T4:2");
    assert_int_equal(weir_catalogue_basis(c, &o[0]), WEIR_PRICE_ACCELERATOR);
    assert_string_equal(o[2].instance_type, "g5.xlarge");
    assert_int_equal(o[2].price_micro_per_hour, 1006000);
    assert_string_equal(o[4].instance_type, "p4d.24xlarge");
    assert_int_equal(o[4].gpu_mem_mib, 40960);
    assert_int_equal(o[4].mem_mib, 1152 * 1024);
    assert_int_equal(o[5].price_micro_per_hour, 9831780);
    /* Written in the catalogue's own columns and read again, nothing has changed. */
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    weir_catalogue_write(c, NULL, &out);
    struct weir_catalogue *d = weir_catalogue_new(gpus, "USD");
    assert_int_equal(weir_catalogue_load_rows(d, "again.csv", weir_str_sv(&out), &err), 0);
    weir_catalogue_seal(d);
    size_t m;
    const struct weir_offer *again = weir_catalogue_offers(d, NULL, &m);
    assert_int_equal(m, 6);
    for (size_t i = 0; i < m; i++) {
        assert_int_equal(again[i].id, o[i].id);
        assert_int_equal(again[i].price_micro_per_hour, o[i].price_micro_per_hour);
        assert_int_equal(again[i].mem_mib, o[i].mem_mib);
        assert_int_equal(again[i].as_of.us, o[i].as_of.us);
        assert_int_equal(weir_catalogue_basis(d, &again[i]), weir_catalogue_basis(c, &o[i]));
    }
    weir_str_release(&out);
    weir_catalogue_free(d);
    weir_catalogue_free(c);
    c = weir_catalogue_new(gpus, "USD");
    assert_int_equal(weir_catalogue_load_skypilot(c, "no.csv", WEIR_SV("a,b\n1,2\n"), "aws", "s", now, &taken, &err),
                     -WEIR_EINVAL);
    weir_catalogue_seal(c);
    weir_catalogue_free(c);
    weir_gpu_table_free(gpus);
}

static struct weir_offer_list rank(const struct weir_catalogue *c, const struct weir_offer_query *q, size_t *ret_n)
{
    struct weir_offer_list l = {0};
    weir_offer_list_add_catalogue(&l, c);
    *ret_n = weir_offer_list_rank(&l, q, weir_catalogue_gpus(c), now, true);
    return l;
}

static void offers_are_ranked_and_the_rest_says_why_not(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_catalogue *c = load(gpus, "a,two,eu-1,,A100,2,,8,64,on_demand,5,USD,list,,s,2026-10-01\n"
                                          "a,two80,eu-1,,A100-80GB,2,,8,64,on_demand,6,USD,list,,s,2026-10-01\n"
                                          "b,two,us-1,,A100,2,,8,64,spot,3,USD,list,,s,2026-10-01\n"
                                          "b,four,us-1,,A100,4,,8,64,on_demand,4,USD,list,,s,2026-10-01\n"
                                          "b,one,us-1,,A100,1,,8,64,on_demand,2,USD,list,,s,2026-10-01\n"
                                          "b,old,us-1,,A100,2,,8,64,on_demand,3,USD,list,,s,2025-01-01\n"
                                          "b,early,us-1,,A100,2,,8,64,on_demand,3,USD,list,,s,2027-01-01\n"
                                          "b,free,us-1,,A100,2,,8,64,on_demand,0,USD,list,,s,2026-10-01\n"
                                          "b,t4,us-1,,T4,2,,8,64,on_demand,1,USD,list,,s,2026-10-01\n"
                                          "b,part,us-1,,A100,2,,,,on_demand,3,USD,accelerator,,s,2026-10-01\n");
    struct weir_offer_query q = {.alternatives = 1};
    struct weir_err err;
    assert_int_equal(weir_gpu_wish_parse(gpus, WEIR_SV("a100:2"), &q.alternative[0], &err), 0);
    size_t n;
    struct weir_offer_list l = rank(c, &q, &n);
    static const struct {
        const char *type;
        enum weir_offer_verdict verdict;
    } want[] = {
        {"two", WEIR_VERDICT_INCLUDED},         {"two", WEIR_VERDICT_INCLUDED},  {"two80", WEIR_VERDICT_INCLUDED},
        {"four", WEIR_VERDICT_INCLUDED_LARGER}, {"free", WEIR_VERDICT_NO_PRICE}, {"t4", WEIR_VERDICT_GPU},
        {"one", WEIR_VERDICT_TOO_FEW_GPUS},     {"early", WEIR_VERDICT_FUTURE},  {"old", WEIR_VERDICT_STALE},
        {"part", WEIR_VERDICT_PARTIAL},
    };
    assert_int_equal(n, 4);
    assert_int_equal(l.n, WEIR_ARRAY_LEN(want));
    for (size_t i = 0; i < l.n; i++) {
        assert_string_equal(l.row[i].offer->instance_type, want[i].type);
        assert_int_equal(l.row[i].verdict, want[i].verdict);
        char why[WEIR_OFFER_REASON_SIZE];
        (void)weir_offer_reason(&l.row[i], &q, gpus, why);
        assert_int_equal(why[0] == '\0', want[i].verdict == WEIR_VERDICT_INCLUDED);
    }
    assert_string_equal(l.row[0].offer->provider, "b");
    assert_int_equal(l.row[0].gpu_price_micro_per_hour, 1500000);
    assert_int_equal(l.row[0].age.us, 52 * WEIR_US_PER_DAY);
    weir_offer_list_release(&l);
    weir_catalogue_free(c);
    weir_gpu_table_free(gpus);
}

static void filters_exclude_with_their_own_verdict(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_catalogue *c = load(gpus, "a,t,eu-1,,A100,2,,8,64,on_demand,5,USD,list,,s,2026-10-01\n");
    static const char *const no_region[] = {"us-*", "ap-*", NULL};
    static const char *const region[] = {"us-*", "eu-*", NULL};
    static const char *const no_cloud[] = {"gcp", NULL};
    const struct {
        struct weir_offer_query q;
        enum weir_offer_verdict verdict;
    } rows[] = {
        {{.regions = no_region}, WEIR_VERDICT_REGION},
        {{.regions = region}, WEIR_VERDICT_INCLUDED},
        {{.providers = no_cloud}, WEIR_VERDICT_PROVIDER},
        {{.markets = 1U << WEIR_OFFER_SPOT}, WEIR_VERDICT_MARKET},
        {{.markets = 1U << WEIR_OFFER_ON_DEMAND}, WEIR_VERDICT_INCLUDED},
        {{.cpu_milli_min = 9000}, WEIR_VERDICT_CPUS},
        {{.mem_mib_min = 65537}, WEIR_VERDICT_MEMORY},
        {{.gpu_mem_mib_min = 65536}, WEIR_VERDICT_GPU_MEMORY},
        {{.price_max_micro_per_hour = 4999999}, WEIR_VERDICT_TOO_DEAR},
        {{.age_max = {WEIR_US_PER_DAY}}, WEIR_VERDICT_STALE},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        size_t n;
        struct weir_offer_list l = rank(c, &rows[i].q, &n);
        assert_int_equal(l.row[0].verdict, rows[i].verdict);
        weir_offer_list_release(&l);
    }
    weir_catalogue_free(c);
    weir_gpu_table_free(gpus);
}

static void wishes_are_read_with_suggestions(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_gpu_wish w;
    struct weir_err err;
    assert_int_equal(weir_gpu_wish_parse(gpus, WEIR_SV("H100"), &w, &err), 0);
    assert_int_equal(w.count, 1);
    assert_int_equal(weir_gpu_wish_parse(gpus, WEIR_SV("4"), &w, &err), 0);
    assert_int_equal(w.count, 4);
    assert_int_equal(w.model, WEIR_GPU_MODEL_ANY);
    static const char *const bad[] = {"A100:0", "A100:33", "A100:", "A100:x", ":", "0", "99"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        assert_int_equal(weir_gpu_wish_parse(gpus, weir_sv_of(bad[i]), &w, &err), -WEIR_EINVAL);
    }
    assert_int_equal(weir_gpu_wish_parse(gpus, WEIR_SV("RTX409:1"), &w, &err), -WEIR_EINVAL);
    assert_non_null(strstr(err.text, "did you mean 'RTX4090'?"));
    weir_gpu_table_free(gpus);
}

/* The files that ship with weir: all of them load, nothing is malformed, and what is refused is few. */
static void the_catalogue_in_the_project_is_sound(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_catalogue *c = weir_catalogue_new(gpus, "USD");
    struct weir_err err = {""};
    int r = weir_catalogue_load_dir(c, WEIR_TEST_DATA_DIR "/catalogue", &err);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
    size_t n;
    size_t total;
    (void)weir_catalogue_problems(c, &n, &total);
    assert_int_equal(total, 0); /* before seal: every line could be read */
    weir_catalogue_seal(c);
    const struct weir_offer *o = weir_catalogue_offers(c, NULL, &n);
    assert_true(n > 1000);
    size_t refused;
    (void)weir_catalogue_refused(c, &refused);
    assert_true(refused < n / 50);
    for (size_t i = 0; i < n; i++) {
        assert_true(o[i].bill_quantum.us > 0);
        if (o[i].market == WEIR_OFFER_SPOT) {
            assert_true(o[i].reclaim_ppm_per_hour > 0);
        }
    }
    static const char *const providers[] = {"aws", "gcp", "azure", "runpod", "paperspace", "lambda"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(providers); i++) {
        size_t k;
        assert_non_null(weir_catalogue_offers(c, providers[i], &k));
    }
    struct weir_offer_query q = {.alternatives = 1};
    assert_int_equal(weir_gpu_wish_parse(gpus, WEIR_SV("A100:8"), &q.alternative[0], &err), 0);
    size_t included;
    struct weir_offer_list l = rank(c, &q, &included);
    assert_true(included >= 20);
    weir_offer_list_release(&l);
    weir_catalogue_free(c);
    weir_gpu_table_free(gpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoted_fields_are_read_and_bad_records_cost_one_line),
        cmocka_unit_test(a_row_becomes_an_offer_to_the_micro_unit),
        cmocka_unit_test(bad_rows_are_refused_with_line_and_reason),
        cmocka_unit_test(another_currency_is_taken_at_its_rate_rounded_up),
        cmocka_unit_test(prices_in_usd_need_a_rate_where_the_ledger_is_in_another),
        cmocka_unit_test(headers_are_checked_with_a_suggestion),
        cmocka_unit_test(a_price_far_from_its_kind_is_refused),
        cmocka_unit_test(the_provider_with_the_most_rows_does_not_decide_what_is_usual),
        cmocka_unit_test(of_duplicates_the_latest_counts),
        cmocka_unit_test(skypilot_files_are_imported),
        cmocka_unit_test(offers_are_ranked_and_the_rest_says_why_not),
        cmocka_unit_test(filters_exclude_with_their_own_verdict),
        cmocka_unit_test(wishes_are_read_with_suggestions),
        cmocka_unit_test(the_catalogue_in_the_project_is_sound),
    };
    return cmocka_run_group_tests_name("catalogue", tests, NULL, NULL);
}
