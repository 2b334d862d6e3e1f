/* SPDX-License-Identifier: Apache-2.0 */
/* What an owned node costs, by what of it is configured. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/parse.h"
#include "broker/config.h"

static const struct weir_config_market no_market = {.usd_nano = 1000000000};

static struct weir_owned_cost cost_at(const char *keys, const struct weir_gpu_table *gpus, const char *time, struct weir_wall *ret_until)
{
    char text[512];
    struct weir_wall at;
    assert_int_equal(weir_parse_time(weir_sv_of(time), &at, NULL), 0);
    struct weir_err err = {""};
    struct weir_config *c;
    const struct weir_node_spec node = {.cpu_milli = 10000, .gpu_model = WEIR_GPU_MODEL_ANY};
    (void)snprintf(text, sizeof text, "pools: {local: {cost: {%s}}}\n", keys);
    if (weir_config_parse(&c, weir_sv_of(text), "test.yaml", &err) != 0) {
        fail_msg("%s", err.text);
    }
    struct weir_owned_cost cost = weir_config_owned_cost(c, "local", &node, gpus, &no_market, at, ret_until);
    weir_config_free(c);
    return cost;
}

static struct weir_owned_cost cost_with(const char *keys, const struct weir_gpu_table *gpus)
{
    struct weir_wall until;
    struct weir_owned_cost cost = cost_at(keys, gpus, "2026-11-22T20:00:00Z", &until);
    assert_int_equal(until.us, INT64_MAX);
    return cost;
}

static void each_part_of_a_cost_that_is_given_counts(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        int64_t purchase;
        int64_t residual;
        int64_t upkeep;
        uint32_t idle_watts;
        uint32_t busy_watts;
    } rows[] = {
        /* 3,000 for the host, a tenth of it left, a twentieth a year; 60 W and 8 W a core */
        {"pue: 1.2", 3000, 300, 150, 60, 140},
        {"purchase: 9000", 9000, 0, 0, 60, 140},
        {"purchase: 9000, residual: 900, upkeep_per_year: 70", 9000, 900, 70, 60, 140},
        {"upkeep_per_year: 70", 3000, 300, 70, 60, 140},
        {"upkeep_per_year: 0", 3000, 300, 0, 60, 140},
        {"idle_watts: 100", 3000, 300, 150, 100, 140},
        {"idle_watts: 500", 3000, 300, 150, 500, 500},
        {"busy_watts: 900", 3000, 300, 150, 60, 900},
        {"busy_watts: 20", 3000, 300, 150, 20, 20},
        {"idle_watts: 0, busy_watts: 0", 3000, 300, 150, 0, 0},
    };
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_owned_cost c = cost_with(rows[i].keys, gpus);
        assert_int_equal(c.purchase_micro, rows[i].purchase * WEIR_MICRO_PER_UNIT);
        assert_int_equal(c.residual_micro, rows[i].residual * WEIR_MICRO_PER_UNIT);
        assert_int_equal(c.upkeep_micro_per_year, rows[i].upkeep * WEIR_MICRO_PER_UNIT);
        assert_int_equal(c.idle_watts, rows[i].idle_watts);
        assert_int_equal(c.busy_watts, rows[i].busy_watts);
    }
    weir_gpu_table_free(gpus);
}

static void a_tariff_may_change_by_the_hour(void **state)
{
    (void)state;
#define TABLE "tariff_per_kwh: 0.20, tariff: [{per_kwh: 0.31, days: mon-fri, hours: 7-21}, {per_kwh: 0.05, days: 'sat,sun', from: 2027-01-01}]"
    static const struct {
        const char *at;
        int64_t micro;
    } rows[] = {
        {"2026-11-23T06:30:00Z", 200000},
        {"2026-11-23T07:00:00Z", 310000},
        {"2026-11-23T20:59:00Z", 310000},
        {"2026-11-28T12:00:00Z", 200000},
        {"2027-01-02T12:00:00Z", 50000},
    };
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_wall until, at;
        assert_int_equal(weir_parse_time(weir_sv_of(rows[i].at), &at, NULL), 0);
        assert_int_equal(cost_at(TABLE, gpus, rows[i].at, &until).tariff_micro_per_kwh, rows[i].micro);
        assert_in_range(until.us - at.us, 1, WEIR_US_PER_HOUR);
    }
    weir_gpu_table_free(gpus);
}

/* Writes the file and configures it as a pool's prices, with rows of a table beside. */
static int parse_with_file(struct weir_config **ret, const char *prices, const char *table, struct weir_err *err)
{
    char path[] = "/tmp/weir-test-prices-XXXXXX";
    char text[512];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, prices, strlen(prices)), strlen(prices));
    assert_int_equal(close(fd), 0);
    (void)snprintf(text, sizeof text, "pools:\n  local:\n    cost:\n      tariff_file: %s\n      tariff: [%s]\n", path, table);
    int r = weir_config_parse(ret, weir_sv_of(text), "test.yaml", err);
    assert_int_equal(unlink(path), 0);
    return r;
}

static void a_file_names_its_currency_or_none(void **state)
{
    (void)state;
    struct weir_config *c = NULL;
    struct weir_err err = {""};
    assert_int_equal(parse_with_file(&c, "utc,price_eur_mwh\n2026-11-23T00:00:00Z,80\n", "", &err), -WEIR_ECONFIG);
    assert_non_null(strstr(err.text, "the file's prices are in EUR, and the ledger is in USD: convert them, and call the column price_mwh"));
    assert_int_equal(parse_with_file(&c, "utc,price_usd_mwh\n2026-11-23T00:00:00Z,80\n", "", &err), 0);
    weir_config_free(c);
}

static void the_currency_counts_wherever_it_stands(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *currency; /* NULL: refused */
        const char *says;     /* the value of waiting in millionths, or why it is refused */
        int64_t delay_cost;
    } rows[] = {{"policy: {delay_cost: 2.50 EUR}\ncurrency: EUR\n", "EUR", "", 2500000},
                {"currency: JPY\npolicy: {delay_cost: 15}\n", "JPY", "", 15000000},
                {"policy: {delay_cost: $3}\n", "USD", "", 3000000},
                {"currency: USD\n", "USD", "", 100000},
                {"currency: EUR\npolicy: {delay_cost: $3}\n", NULL, "test.yaml:2:22: 'delay_cost': '$3' is in USD, and amounts are in the ledger's currency here, which is EUR", 0},
                {"currency: euro\n", NULL, "test.yaml:1:11: currency: the code of a currency in three capitals is wanted here, such as EUR", 0},
                {"currency: XYZ\n", NULL, "the code of a currency", 0},
                {"currency: EUR\n", NULL, "test.yaml: policy.delay_cost is missing: what an hour of waiting is worth must be said in a ledger in EUR", 0},
                {"currency: [EUR]\n", NULL, "a single value is wanted here", 0}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_config *c = NULL;
        struct weir_err err = {""};
        int r = weir_config_parse(&c, weir_sv_of(rows[i].text), "test.yaml", &err);
        if (rows[i].currency == NULL) {
            assert_int_equal(r, -WEIR_ECONFIG);
            if (strstr(err.text, rows[i].says) == NULL) {
                fail_msg("%s", err.text);
            }
            continue;
        }
        assert_int_equal(r, 0);
        assert_string_equal(c->currency, rows[i].currency);
        assert_int_equal(c->core.delay_cost_micro_per_hour, rows[i].delay_cost);
        weir_config_free(c);
    }
}

/* What is assumed is assumed in USD: at its rate, and nothing where none is known. */
static void assumptions_are_made_in_usd(void **state)
{
    (void)state;
    static const struct {
        int64_t usd_nano;
        int64_t purchase;
        int64_t tariff;
    } rows[] = {{INT64_C(1000000000), INT64_C(3000000000), 200000}, {INT64_C(150250000000), INT64_C(450750000000), 30050000}, {0, 0, 0}};
    const struct weir_node_spec node = {.cpu_milli = 10000, .gpu_model = WEIR_GPU_MODEL_ANY};
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_config *c = NULL;
    struct weir_config *set = NULL;
    assert_int_equal(weir_config_parse(&c, WEIR_SV("currency: JPY\npolicy: {delay_cost: 20}\n"), "test.yaml", NULL), 0);
    assert_int_equal(weir_config_parse(&set, WEIR_SV("currency: JPY\npolicy: {delay_cost: 20}\npools: {local: {cost: {purchase: 500000, tariff_per_kwh: 31}}}\n"), "test.yaml", NULL), 0);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        const struct weir_config_market market = {.usd_nano = rows[i].usd_nano};
        struct weir_wall until;
        struct weir_owned_cost cost = weir_config_owned_cost(c, "local", &node, gpus, &market, (struct weir_wall){1}, &until);
        assert_int_equal(cost.purchase_micro, rows[i].purchase);
        assert_int_equal(cost.tariff_micro_per_kwh, rows[i].tariff);
        cost = weir_config_owned_cost(set, "local", &node, gpus, &market, (struct weir_wall){1}, &until);
        assert_int_equal(cost.purchase_micro, INT64_C(500000000000));
        assert_int_equal(cost.tariff_micro_per_kwh, 31000000);
    }
    weir_config_free(c);
    weir_config_free(set);
    weir_gpu_table_free(gpus);
}

static void a_file_has_the_prices_by_the_hour(void **state)
{
    (void)state;
    static const char prices[] = "utc,price_mwh\n2026-11-23T00:00:00Z,80\n2026-11-23T01:00:00Z,-5\n2026-11-23T02:00:00Z,250\n";
    static const struct {
        const char *table;
        int64_t hours; /* since midnight */
        int64_t micro;
    } rows[] = {{"", 0, 80000}, {"", 1, 0}, {"", 2, 250000}, {"", 3, 80000}, {"{per_kwh: 0.5, hours: 2-3}", 2, 500000}, {"{per_kwh: 0.5, hours: 2-3}", 0, 80000}};
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    const struct weir_node_spec node = {.cpu_milli = 10000, .gpu_model = WEIR_GPU_MODEL_ANY};
    struct weir_wall midnight;
    assert_int_equal(weir_parse_time(WEIR_SV("2026-11-23"), &midnight, NULL), 0);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_config *c = NULL;
        struct weir_err err = {""};
        struct weir_wall until;
        struct weir_wall at = {midnight.us + rows[i].hours * WEIR_US_PER_HOUR + 1000};
        assert_int_equal(parse_with_file(&c, prices, rows[i].table, &err), 0);
        assert_int_equal(weir_config_owned_cost(c, "local", &node, gpus, &no_market, at, &until).tariff_micro_per_kwh, rows[i].micro);
        assert_int_equal(until.us, at.us - 1000 + WEIR_US_PER_HOUR);
        weir_config_free(c);
    }
    weir_gpu_table_free(gpus);
}

static void a_file_that_has_no_prices_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *prices;
        const char *want;
    } rows[] = {
        {"utc,gco2_kwh_lca\n2026-11-23T00:00:00Z,80\n", "carbon intensities"},
        {"utc,price\n2026-11-23T00:00:00Z,dear\n", ":2: column 'price'"},
        {"utc,price\n", "no values"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_config *c = NULL;
        struct weir_err err = {""};
        assert_int_equal(parse_with_file(&c, rows[i].prices, "", &err), -WEIR_ECONFIG);
        assert_non_null(strstr(err.text, rows[i].want));
        assert_non_null(strstr(err.text, "test.yaml:4:"));
    }
}

static void bad_tariffs_are_refused_with_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *table;
        const char *want;
    } rows[] = {
        {"0.30", "a list of at most 64 rows"},
        {"[{days: mon}]", "wants per_kwh"},
        {"[{per_kwh: -1}]", "must not be negative"},
        {"[{per_kwh: 1, days: someday}]", "days are written"},
        {"[{per_kwh: 1, hours: 7}]", "hours are written"},
        {"[{per_kwh: 1, hours: 7-7}]", "hours are written"},
        {"[{per_kwh: 1, hours: 7-25}]", "hours are written"},
        {"[{per_kwh: 1, from: soon}]", "a time such as"},
        {"[{per_kwh: 1, from: 2027-01-02, to: 2027-01-01}]", "to is not later"},
        {"[{per_kwh: 1, hour: 7-8}]", "did you mean 'hours'"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char text[256];
        struct weir_err err = {""};
        struct weir_config *c = NULL;
        (void)snprintf(text, sizeof text, "pools:\n  a:\n    cost:\n      tariff: %s\n", rows[i].table);
        assert_int_equal(weir_config_parse(&c, weir_sv_of(text), "test.yaml", &err), -WEIR_ECONFIG);
        assert_non_null(strstr(err.text, rows[i].want));
        assert_non_null(strstr(err.text, "test.yaml:4:"));
    }
}

/* Writes the file and puts its name for each FILE in the keys. */
static int parse_carbon(struct weir_config **ret, const char *file, const char *keys, struct weir_err *err)
{
    char path[] = "/tmp/weir-test-carbon-XXXXXX";
    struct weir_str text = WEIR_STR_INIT(4096);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, file, strlen(file)), strlen(file));
    assert_int_equal(close(fd), 0);
    weir_str_adds(&text, "pools:\n  aws:\n    cost:\n      {");
    for (const char *at = keys; *at != '\0';) {
        const char *hit = strstr(at, "FILE");
        weir_str_add(&text, at, hit == NULL ? strlen(at) : (size_t)(hit - at));
        weir_str_adds(&text, hit == NULL ? "" : path);
        at = hit == NULL ? at + strlen(at) : hit + 4;
    }
    weir_str_adds(&text, "}\n");
    int r = weir_config_parse(ret, weir_str_sv(&text), "test.yaml", err);
    assert_int_equal(unlink(path), 0);
    weir_str_release(&text);
    return r;
}

#define INTENSITIES "utc,gco2_kwh_lca\n2026-11-23T00:00:00Z,80\n2026-11-23T01:00:00Z,-5\n2026-11-23T02:00:00Z,250.5\n"

/* The last row that holds counts, of those that fit the machine's region. */
static void carbon_is_known_by_place_and_hour(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        const char *region;
        int64_t hours; /* since midnight */
        int64_t milli; /* grams; below 0: not known */
        int64_t until; /* in hours since then */
    } rows[] = {
        {"pue: 1.1", "", 0, -1, INT64_MAX},
        {"carbon_per_kwh: 379.2", "", 5, 379200, INT64_MAX},
        {"carbon_per_kwh: 0", "", 5, 0, INT64_MAX},
        {"carbon_file: FILE", "", 0, 80000, 1},
        {"carbon_file: FILE", "", 1, 0, 2},
        {"carbon_file: FILE, carbon_per_kwh: 7", "", 2, 250500, 3},
        {"carbon: [{per_kwh: 379, region: us-*}, {file: FILE, region: eu-west-1}]", "us-east-1", 2, 379000, INT64_MAX},
        {"carbon: [{per_kwh: 379, region: us-*}, {file: FILE, region: eu-west-1}]", "eu-west-1", 2, 250500, 3},
        {"carbon: [{per_kwh: 379, region: us-*}, {file: FILE, region: eu-west-1}]", "ap-south-1", 2, -1, INT64_MAX},
        {"carbon_per_kwh: 500, carbon: [{per_kwh: 20, hours: 11-15}]", "", 2, 500000, 3},
        {"carbon_per_kwh: 500, carbon: [{per_kwh: 20, hours: 11-15}]", "", 12, 20000, 13},
        {"carbon: [{per_kwh: 300}, {per_kwh: 250, from: 2026-11-23T06:00:00Z}]", "x", 2, 300000, 6},
        {"carbon: [{per_kwh: 300}, {per_kwh: 250, from: 2026-11-23T06:00:00Z}]", "x", 6, 250000, INT64_MAX},
    };
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_wall midnight;
    assert_int_equal(weir_parse_time(WEIR_SV("2026-11-23"), &midnight, NULL), 0);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_config *c = NULL;
        struct weir_err err = {""};
        struct weir_wall until;
        struct weir_wall at = {midnight.us + rows[i].hours * WEIR_US_PER_HOUR};
        struct weir_node_spec node = {.cpu_milli = 10000, .gpu_model = WEIR_GPU_MODEL_ANY};
        (void)snprintf(node.region, sizeof node.region, "%s", rows[i].region);
        if (parse_carbon(&c, INTENSITIES, rows[i].keys, &err) != 0) {
            fail_msg("%s", err.text);
        }
        for (int owned = 0; owned < 2; owned++) {
            struct weir_owned_cost cost = owned != 0 ? weir_config_owned_cost(c, "aws", &node, gpus, &no_market, at, &until)
                                                     : weir_config_rented_cost(c, "aws", &node, gpus, at, &until);
            assert_int_equal(cost.has_carbon, rows[i].milli >= 0);
            assert_int_equal(cost.carbon_ug_per_kwh, rows[i].milli < 0 ? 0 : rows[i].milli * 1000);
            assert_int_equal(until.us, rows[i].until == INT64_MAX ? INT64_MAX : midnight.us + rows[i].until * WEIR_US_PER_HOUR);
        }
        weir_config_free(c);
    }
    weir_gpu_table_free(gpus);
}

/* From the table of models, or as configured; where the GPUs are of a model that nobody knows, not at all. */
static void a_rented_machine_draws_what_its_model_does(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        const char *gpu;
        uint32_t idle_watts;
        uint32_t busy_watts;
        uint32_t pue_milli;
    } rows[] = {
        {"carbon_per_kwh: 1", "", 60, 140, 1200},
        {"pue: 1.135", "H100", 60 + 2 * 77, 140 + 2 * 700, 1135},
        {"carbon_per_kwh: 1", "NOT-HEARD-OF", 0, 0, 1200},
        {"idle_watts: 90, busy_watts: 400", "NOT-HEARD-OF", 90, 400, 1200},
        {"busy_watts: 400", "NOT-HEARD-OF", 60, 400, 1200},
    };
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_config *c = NULL;
        struct weir_err err = {""};
        struct weir_wall until;
        bool has_gpus = rows[i].gpu[0] != '\0';
        struct weir_node_spec node = {.cpu_milli = 10000, .gpus = has_gpus ? 2 : 0, .gpu_model = WEIR_GPU_MODEL_ANY};
        node.gpu_model = has_gpus ? weir_gpu_table_intern(gpus, weir_sv_of(rows[i].gpu)) : node.gpu_model;
        assert_int_equal(parse_carbon(&c, INTENSITIES, rows[i].keys, &err), 0);
        struct weir_owned_cost cost = weir_config_rented_cost(c, "aws", &node, gpus, (struct weir_wall){1}, &until);
        assert_int_equal(cost.idle_watts, rows[i].idle_watts);
        assert_int_equal(cost.busy_watts, rows[i].busy_watts);
        assert_int_equal(cost.pue_milli, rows[i].pue_milli);
        assert_int_equal(cost.purchase_micro, 0);
        weir_config_free(c);
    }
    weir_gpu_table_free(gpus);
}

static void bad_carbon_is_refused_with_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const char *keys;
        const char *want;
    } rows[] = {
        {INTENSITIES, "carbon_per_kwh: 3601", "grams of CO2e per kWh"},
        {INTENSITIES, "carbon_per_kwh: -1", "must not be negative"},
        {INTENSITIES, "carbon: 380", "a list of at most 64 rows"},
        {INTENSITIES, "carbon: [{region: eu-*}]", "wants per_kwh or file"},
        {INTENSITIES, "carbon: [{per_kwh: 1, file: FILE}]", "wants per_kwh or file, and not both"},
        {INTENSITIES, "carbon: [{per_kwh: 1, from: 2027-01-02, to: 2027-01-01}]", "to is not later"},
        {INTENSITIES, "carbon: [{per_kwh: 1, place: eu}]", "'place'"},
        {INTENSITIES, "carbon_per_kw: 1", "did you mean 'carbon_per_kwh'"},
        {INTENSITIES, "carbon_file: /nowhere/at/all", "/nowhere/at/all"},
        {"utc,price\n2026-11-23T00:00:00Z,80\n", "carbon_file: FILE", "the file has prices"},
        {"utc,gco2_kwh_lca\n2026-11-23T00:00:00Z,much\n", "carbon: [{file: FILE}]", ":2: column 'gco2_kwh_lca'"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_config *c = NULL;
        struct weir_err err = {""};
        assert_int_equal(parse_carbon(&c, rows[i].file, rows[i].keys, &err), -WEIR_ECONFIG);
        assert_non_null(strstr(err.text, rows[i].want));
        assert_non_null(strstr(err.text, "test.yaml:4:"));
    }
}

static void receivers_that_cannot_be_are_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *alerts;
        const char *want; /* NULL: it is well-formed */
    } rows[] = {
        {"{receivers: {a: {kind: webhook, url: 'https://x.example/h'}}, routes: [{conditions: [budget-*, node-lost], projects: v*, receivers: a}]}", NULL},
        {"{receivers: {a: {kind: mail, url: 'smtp://x.example', from: w@x.example, to: [a@x.example]}}, queue_wait: {v: 30m, '*': 2h}, repeat: never}", NULL},
        {"{receivers: {a: {kind: webhook, url: 'http://127.0.0.1:1/h', secret_env: PATH}}}", NULL},
        {"{receivers: {a: {url: 'https://x.example'}}}", "wants kind"},
        {"{receivers: {a: {kind: pager}}}", "webhook, slack, alertmanager or mail"},
        {"{receivers: {a: {kind: webhook}}}", "wants url"},
        {"{receivers: {a: {kind: webhook, url: 'ftp://x'}}}", "wants url"},
        {"{receivers: {a: {kind: webhook, url: 'http://x.example/h'}}}", "use https"},
        {"{receivers: {a: {kind: slack, url_file: /nowhere/at/all}}}", "/nowhere/at/all"},
        {"{receivers: {a: {kind: slack, url_env: WEIR_TEST_NOT_SET}}}", "environment"},
        {"{receivers: {a: {kind: slack, url_file: /dev/null}}}", "is empty"},
        {"{receivers: {a: {kind: slack, url: 'https://x', secret_env: PATH}}}", "no other receiver"},
        {"{receivers: {a: {kind: mail, url: 'smtp://x', to: a@x.example}}}", "wants from and to"},
        {"{receivers: {a: {kind: mail, url: 'smtp://x', from: a@x.example, to: 'a@x.example, b@x.example'}}}", "a mail address"},
        {"{receivers: {a: {kind: mail, url: 'smtp://x', from: 'a@b>', to: a@x.example}}}", "a mail address"},
        {"{receivers: {a: {kind: mail, url: 'smtp://x', from: a@x.example, to: a@x.example, user: w}}}", "password_file"},
        {"{receivers: {a: {kind: webhook, url: 'https://x', from: a@x.example}}}", "are for mail"},
        {"{receivers: {a: {kind: webhook, uri: 'https://x'}}}", "did you mean 'url'"},
        {"{routes: [{receivers: a}]}", "no receiver is called so"},
        {"{receivers: {a: {kind: webhook, url: 'https://x'}}, routes: [{conditions: node-found, receivers: a}]}", "no condition"},
        {"{receivers: {a: {kind: webhook, url: 'https://x'}}, routes: [{projects: v}]}", "wants receivers"},
        {"{receivers: {a: {kind: webhook, url: 'https://x'}}, routes: [{severity: bad, receivers: a}]}", "warning (all), or critical"},
        {"{queue_wait: soon}", "soon"},
        {"{repeat: 0}", "more than nothing"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char text[512];
        struct weir_err err = {""};
        struct weir_config *c = NULL;
        (void)snprintf(text, sizeof text, "alerts: %s\n", rows[i].alerts);
        int r = weir_config_parse(&c, weir_sv_of(text), "test.yaml", &err);
        if (r != (rows[i].want == NULL ? 0 : -WEIR_ECONFIG) || (rows[i].want != NULL && strstr(err.text, rows[i].want) == NULL)) {
            fail_msg("%s: %d %s", text, r, err.text);
        }
        weir_config_free(c);
    }
}

static void commitments_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *item;
        const char *text; /* NULL: it is fine */
        uint32_t machines;
        int64_t price;
    } rows[] = {
        {"provider: aws, instance_type: a, region: r, machines: 4, per_hour: 55.04", NULL, 4, 55040000},
        {"provider: aws, instance_type: a, region: r, zone: z, machines: 1", NULL, 1, 0},
        {"provider: aws, instance_type: a, region: r, plan_per_hour: 31.40, per_hour: 15.65", NULL, 2, 15650000},
        {"provider: aws, instance_type: a, region: r", "committed.machines: is how many are paid for", 0, 0},
        {"provider: aws, instance_type: a, region: r, machines: 2, plan_per_hour: 3, per_hour: 1", "committed.machines: is how many", 0, 0},
        {"provider: aws, instance_type: a, region: r, plan_per_hour: 3", "committed.per_hour: must be the plan's rate", 0, 0},
        {"provider: aws, instance_type: a, region: r, plan_per_hour: 3, per_hour: 4", "committed.per_hour: must be the plan's rate", 0, 0},
        {"provider: aws, region: r, machines: 1", "committed.instance_type: is missing", 0, 0},
        {"provider: aws, instance_type: a, machines: 1", "committed.region: is missing", 0, 0},
        {"provider: aws, instance_type: a, region: r, machines: 0", "committed.machines", 0, 0},
        {"provider: aws, instance_type: a, region: r, machine: 1", "did you mean 'machines'?", 0, 0},
        {"provider: awss, instance_type: a, region: r, machines: 1", "committed.provider: there is no driver 'awss'; did you mean 'aws'?", 0, 0},
        {"provider: elsewhere, instance_type: a, region: r, machines: 1", "committed.provider: there is no driver 'elsewhere'; this version has azure, ", 0, 0},
        {"provider: elsewhere, instance_type: a, region: r, machines: 1", "test.yaml:2", 0, 0},
        {"provider: aws, instance_type: a, region: r, machines: 1, from: 2026-01-01, until: '2027-01-01T12:00:00Z'", NULL, 1, 0},
        {"provider: aws, instance_type: a, region: r, machines: 1, until: next year", "committed.until: must be a time, such as", 0, 0},
        {"provider: aws, instance_type: a, region: r, machines: 1, from: 2027-01-01, until: 2027-01-01", "committed.until: must be later than from", 0, 0},
        {"provider: aws, instance_type: a, region: r, machines: 1, reservation: cr-0123", NULL, 1, 0},
        {"provider: aws, instance_type: a, region: r, machines: 1, reservation: 'arn:aws:resource-groups:us-east-1:1:group/g'", NULL, 1, 0},
        {"provider: aws, instance_type: a, region: r, machines: 1, reservation: mine", "committed.reservation: of aws is the id", 0, 0},
        {"provider: aws, instance_type: a, region: r, machines: 1, reservation: cr-0123, bound: true, until: 2027-01-01", NULL, 1, 0},
        {"provider: aws, instance_type: a, region: r, machines: 1, reservation: cr-0123, bound: true", "committed.bound: is of a reservation", 0, 0},
        {"provider: aws, instance_type: a, region: r, machines: 1, bound: true, until: 2027-01-01", "committed.bound: is of a reservation", 0, 0},
        {"provider: gcp, instance_type: a, region: r, zone: z, machines: 1, reservation: mine", NULL, 1, 0},
        {"provider: gcp, instance_type: a, region: r, zone: z, machines: 1, reservation: projects/p/reservations/mine", NULL, 1, 0},
        {"provider: gcp, instance_type: a, region: r, zone: z, machines: 1, reservation: projects/p/zones/z/reservations/mine", "committed.reservation: of gcp", 0, 0},
        {"provider: gcp, instance_type: a, region: r, zone: z, machines: 1, reservation: projects/p/reservations/", "committed.reservation: of gcp", 0, 0},
        {"provider: gcp, instance_type: a, region: r, machines: 1, reservation: mine", "committed.zone: is needed", 0, 0},
        {"provider: azure, instance_type: a, region: r, machines: 1, reservation: /subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/capacityReservationGroups/c", NULL, 1, 0},
        {"provider: azure, instance_type: a, region: r, machines: 1, reservation: c", "committed.reservation: of azure is the id of a capacity", 0, 0},
        {"provider: lambda, instance_type: a, region: r, machines: 1, reservation: c", "committed.reservation: is for aws, gcp and azure", 0, 0},
        {"provider: aws, instance_type: a, region: r, machines: 1}\n  - {provider: aws, instance_type: a, region: r, machines: 2", "is there twice", 0, 0},
        {"provider: aws, instance_type: a, region: r, machines: 1, until: 2027-01-02}\n  - {provider: aws, instance_type: a, region: r, machines: 2, from: 2027-01-01", "is there twice", 0, 0},
        {"name: p, provider: aws, plan_per_hour: 10, covers: [{instance_type: a, region: r, per_hour: 4}]", NULL, 2, 4000000},
        {"provider: aws, plan_per_hour: 10, covers: [{instance_type: a, region: r, per_hour: 4}]", "committed.covers: is a list of what the plan covers, with a name", 0, 0},
        {"name: p, provider: aws, machines: 10, covers: [{instance_type: a, region: r, per_hour: 4}]", "committed.covers: is a list of what the plan covers, with a name", 0, 0},
        {"name: p, provider: aws, plan_per_hour: 10, covers: []", "committed.covers: is a list", 0, 0},
        {"name: p, provider: aws, plan_per_hour: 10, covers: [a]", "committed.covers: each must be a mapping", 0, 0},
        {"name: p, provider: aws, plan_per_hour: 10, covers: [{instance_type: a, region: r, per_hour: 11}]", "committed.per_hour: must be the plan's rate", 0, 0},
        {"name: p, provider: aws, plan_per_hour: 10, covers: [{instance_type: a, region: r}]", "committed.per_hour: must be the plan's rate", 0, 0},
        {"name: p, provider: aws, plan_per_hour: 10, covers: [{region: r, per_hour: 4}]", "committed.instance_type: is missing", 0, 0},
        {"name: p, provider: aws, plan_per_hour: 10, covers: [{instance_type: a, region: r, per_hour: 4}, {instance_type: a, region: r, per_hour: 5}]", "is there twice", 0, 0},
        {"name: p, provider: aws, plan_per_hour: 10, region: r, covers: [{instance_type: a, region: r, per_hour: 4}]", "committed.covers: has type, region", 0, 0},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char text[512];
        struct weir_config *c = NULL;
        struct weir_err err = {""};
        (void)snprintf(text, sizeof text, "committed:\n  - {%s}\n", rows[i].item);
        int r = weir_config_parse(&c, weir_sv_of(text), "test.yaml", &err);
        if (rows[i].text == NULL) {
            assert_string_equal(err.text, "");
            assert_int_equal(r, 0);
            assert_int_equal(c->n_committed, 1);
            assert_int_equal(c->committed[0].machines, rows[i].machines);
            assert_int_equal(c->committed[0].price_micro_per_hour, rows[i].price);
        } else {
            assert_int_equal(r, -WEIR_ECONFIG);
            if (strstr(err.text, rows[i].text) == NULL) {
                fail_msg("%s: '%s'", rows[i].item, err.text);
            }
        }
        weir_config_free(c);
    }
}

/* Their money is one sum, by a number that is the same at each start; another plan has another. */
static void plans_cover_several_types(void **state)
{
    (void)state;
    static const char text[] = "committed:\n"
                               "  - name: p\n"
                               "    provider: aws\n"
                               "    plan_per_hour: 10\n"
                               "    until: 2027-01-01\n"
                               "    covers:\n"
                               "      - {instance_type: a, region: r, per_hour: 4}\n"
                               "      - {instance_type: b, region: r, zone: z, per_hour: 2.50}\n"
                               "  - {name: q, provider: aws, plan_per_hour: 1, covers: [{instance_type: a, region: r, per_hour: 1}]}\n"
                               "  - {provider: aws, instance_type: a, region: r, machines: 7, until: 2027-01-01}\n"
                               "  - {provider: aws, instance_type: a, region: r, machines: 8, from: 2027-01-01}\n";
    struct weir_config *c = NULL;
    struct weir_err err = {""};
    assert_int_equal(weir_config_parse(&c, weir_sv_of(text), "test.yaml", &err), 0);
    assert_int_equal(c->n_committed, 5);
    const struct weir_config_committed *x = c->committed;
    assert_true(x[0].plan != 0 && x[0].plan == x[1].plan && x[2].plan != x[0].plan && x[2].plan != 0 && x[3].plan == 0);
    assert_int_equal(x[1].plan_micro_per_hour, 10000000);
    assert_int_equal(x[0].machines, 2);
    assert_int_equal(x[1].machines, 4);
    assert_string_equal(x[1].zone, "z");
    assert_true(x[0].until.us == x[1].until.us && x[0].until.us != INT64_MAX && x[2].until.us == INT64_MAX);
    assert_int_equal(x[0].line, 2);
    assert_int_equal(x[3].line, 10);
    weir_config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commitments_are_read),
        cmocka_unit_test(plans_cover_several_types),
        cmocka_unit_test(each_part_of_a_cost_that_is_given_counts),
        cmocka_unit_test(a_tariff_may_change_by_the_hour),
        cmocka_unit_test(a_file_names_its_currency_or_none),
        cmocka_unit_test(the_currency_counts_wherever_it_stands),
        cmocka_unit_test(assumptions_are_made_in_usd),
        cmocka_unit_test(a_file_has_the_prices_by_the_hour),
        cmocka_unit_test(a_file_that_has_no_prices_is_refused),
        cmocka_unit_test(bad_tariffs_are_refused_with_the_place),
        cmocka_unit_test(carbon_is_known_by_place_and_hour),
        cmocka_unit_test(a_rented_machine_draws_what_its_model_does),
        cmocka_unit_test(bad_carbon_is_refused_with_the_place),
        cmocka_unit_test(receivers_that_cannot_be_are_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
