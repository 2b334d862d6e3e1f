/* SPDX-License-Identifier: Apache-2.0 */

#include "focus.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/money.h"
#include "cloud/csv.h"
#include "output.h"

enum { ROW_BYTES_MAX = 65536 };

struct focus {
    const struct weir_focus_conf *conf;
    json_t *nodes; /* as the broker lists them */
    json_t *leases;
    struct weir_map node_at; /* id -> index + 1 */
    struct weir_map lease_at;
};

/* One row: the charge, and what it was for. */
struct row {
    const struct focus *f;
    const json_t *charge;
    const json_t *node;  /* NULL: not known any more */
    const json_t *lease; /* NULL: an owned machine */
    const char *spread_by; /* 1.3: how idle time is shared out, where the row is a project's part of it; else NULL */
    const char *account;
    int64_t micro;
    int64_t held_us;
    bool is_usage; /* else an adjustment, which has no quantity */
};

/* ---- values ---- */

static const char *text_or(const char *text, const char *otherwise)
{
    return text != NULL && text[0] != '\0' ? text : otherwise;
}

static const char *owner(const struct row *r)
{
    return r->lease == NULL ? r->f->conf->issuer : text_or(weir_get_text(r->lease, "provider"), r->f->conf->issuer);
}

static void add_money(struct weir_str *out, int64_t micro)
{
    char buf[WEIR_MONEY_SIZE];
    weir_str_adds(out, weir_money_format(micro, buf));
}

/* Hours in billionths: so many digits that a unit price times them is the cost again. */
static int64_t nano_hours(const struct row *r)
{
    int64_t n = weir_mul_div_sat(r->held_us, 1000000000, WEIR_US_PER_HOUR);
    return n > 0 ? n : 1;
}

static void add_quantity(struct weir_str *out, const struct row *r)
{
    if (r->is_usage) {
        int64_t n = nano_hours(r);
        weir_str_addf(out, "%" PRId64 ".%09" PRId64, n / 1000000000, n % 1000000000);
    }
}

static void add_price_of(struct weir_str *out, const struct row *r, int64_t micro)
{
    if (r->is_usage) {
        /* micro-units over billionths of an hour; twelve places of a unit are a million of a micro-unit */
        weir_i128 p = ((weir_i128)micro * 1000000 * 1000000000 + nano_hours(r) / 2) / nano_hours(r);
        weir_i128 unit = (weir_i128)1000000 * 1000000;
        weir_str_addf(out, "%" PRId64 ".%012" PRId64, (int64_t)(p / unit), (int64_t)(p % unit));
    }
}

static void add_unit_price(struct weir_str *out, const struct row *r)
{
    add_price_of(out, r, r->micro);
}

static void add_time(struct weir_str *out, struct weir_wall t)
{
    struct weir_date d = weir_wall_to_date(t);
    weir_str_addf(out, "%04d-%02d-%02dT%02d:%02d:%02dZ", d.year, d.month, d.day, d.hour, d.minute, d.second);
}

static struct weir_wall month_of(struct weir_wall t, int more)
{
    struct weir_date d = weir_wall_to_date(t);
    int month = d.month - 1 + more;
    return weir_wall_from_date((struct weir_date){.year = d.year + month / 12, .month = month % 12 + 1, .day = 1});
}

/* Periods of rows are whole hours or days, whatever part of them was used. */
static struct weir_wall period(const struct row *r, bool end)
{
    int64_t unit = r->f->conf->hourly ? WEIR_US_PER_HOUR : WEIR_US_PER_DAY;
    int64_t from = weir_get_time(r->charge, "from").us;
    return (struct weir_wall){from - from % unit + (end ? unit : 0)};
}

/* What is late is billed in the first month that was open. */
static struct weir_wall billed_at(const struct row *r)
{
    return weir_get_time(r->charge, weir_get_is_set(r->charge, "late") ? "late" : "from");
}

static void put_class(struct weir_str *out, const struct row *r)
{
    weir_str_adds(out, weir_get_is_set(r->charge, "late") ? "Correction" : "");
}

static void put_billing_start(struct weir_str *out, const struct row *r)
{
    add_time(out, month_of(billed_at(r), 0));
}

static void put_billing_end(struct weir_str *out, const struct row *r)
{
    add_time(out, month_of(billed_at(r), 1));
}

static void put_start(struct weir_str *out, const struct row *r)
{
    add_time(out, period(r, false));
}

static void put_end(struct weir_str *out, const struct row *r)
{
    add_time(out, period(r, true));
}

static void put_cost(struct weir_str *out, const struct row *r)
{
    add_money(out, r->micro);
}

static void put_currency(struct weir_str *out, const struct row *r)
{
    weir_str_adds(out, weir_get_currency(r->charge));
}

/* What was billed in another currency is priced in that. */
static bool is_foreign(const struct row *r)
{
    return weir_get_is_set(r->charge, "original_currency");
}

static void put_pricing_currency(struct weir_str *out, const struct row *r)
{
    weir_str_adds(out, is_foreign(r) ? weir_get_text(r->charge, "original_currency") : weir_get_currency(r->charge));
}

static int64_t pricing_cost(const struct row *r)
{
    return is_foreign(r) ? weir_get_i64(r->charge, "original_micro", 0) : r->micro;
}

static void put_pricing_cost(struct weir_str *out, const struct row *r)
{
    add_money(out, pricing_cost(r));
}

static void put_pricing_unit_price(struct weir_str *out, const struct row *r)
{
    add_price_of(out, r, pricing_cost(r));
}

static void put_issuer(struct weir_str *out, const struct row *r)
{
    weir_csv_write_field(out, weir_sv_of(r->f->conf->issuer));
}

/* One for a calendar month: what is billed in it adds up to the month's statement. */
static void put_invoice(struct weir_str *out, const struct row *r)
{
    struct weir_date d = weir_wall_to_date(billed_at(r));
    weir_str_addf(out, "weir-%04d-%02d", d.year, d.month);
}

/* Whose machine it is. Who bills it is its provider in the sense of FOCUS, which allows no cost on rows that a third
 * party bills. */
static void put_publisher(struct weir_str *out, const struct row *r)
{
    weir_csv_write_field(out, weir_sv_of(owner(r)));
}

static void put_category(struct weir_str *out, const struct row *r)
{
    weir_str_adds(out, r->is_usage ? "Usage" : "Adjustment");
}

static void put_frequency(struct weir_str *out, const struct row *r)
{
    weir_str_adds(out, r->is_usage ? "Usage-Based" : "One-Time");
}

/* Of a machine; else it is what a rule spreads over a pool. */
static bool has_node(const struct row *r)
{
    return weir_get_i64(r->charge, "node", 0) != 0;
}

static void put_description(struct weir_str *out, const struct row *r)
{
    static const char *const what[][2] = {{"job", "used by a job"},
                                          {"idle", "idle"},
                                          {"waste_boot", "wasted: the machine was starting"},
                                          {"waste_lost", "wasted: work that was lost"},
                                          {"waste_failed", "wasted: tasks that failed"},
                                          {"price", "charged beyond the cost, or below it"}};
    const char *text = r->account;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(what); i++) {
        text = weir_streq(r->account, what[i][0]) ? what[i][1] : text;
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str s = WEIR_STR_INIT(1024);
    weir_str_addf(&s, "%s, %s",
                  text_or(weir_get_text(r->charge, "node_name"), !has_node(r) ? text_or(weir_get_text(r->charge, "pool"), "all machines") : r->lease == NULL ? "owned machine" : "rented machine"),
                  text);
    weir_csv_write_field(out, weir_str_sv(&s));
}

static void put_pricing_category(struct weir_str *out, const struct row *r)
{
    const char *market = r->lease == NULL ? NULL : weir_get_text(r->lease, "market");
    weir_str_adds(out, market == NULL ? "Other" : weir_streq(market, "spot") ? "Dynamic" : "Standard");
}

static void put_unit(struct weir_str *out, const struct row *r)
{
    weir_str_adds(out, r->is_usage ? "Hours" : "");
}

static void put_region(struct weir_str *out, const struct row *r)
{
    weir_csv_write_field(out, weir_sv_of(r->lease == NULL ? "" : text_or(weir_get_text(r->lease, "region"), "")));
}

static void put_resource(struct weir_str *out, const struct row *r)
{
    if (!has_node(r)) {
        return;
    }
    const char *instance = r->lease == NULL ? NULL : weir_get_text(r->lease, "instance");
    if (instance != NULL) {
        weir_csv_write_field(out, weir_sv_of(instance));
    } else {
        weir_str_addf(out, "weir:node:%" PRId64, weir_get_i64(r->charge, "node", 0));
    }
}

static void put_resource_name(struct weir_str *out, const struct row *r)
{
    weir_csv_write_field(out, weir_sv_of(text_or(weir_get_text(r->charge, "node_name"), "")));
}

static void put_resource_type(struct weir_str *out, const struct row *r)
{
    weir_str_adds(out, !has_node(r) ? "" : r->lease == NULL ? "Server" : "Virtual Machine");
}

static void put_service(struct weir_str *out, const struct row *r)
{
    weir_str_adds(out, r->lease == NULL ? "Owned machines" : "Rented machines");
}

static void put_subcategory(struct weir_str *out, const struct row *r)
{
    weir_str_adds(out, r->lease == NULL ? "Other (Compute)" : "Virtual Machines");
}

/* What is priced: the kind of machine; with its market, the price. */
static void add_sku(struct weir_str *out, const struct row *r, bool price)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str s = WEIR_STR_INIT(1024);
    if (r->lease != NULL) {
        weir_str_addf(&s, "%s:%s", owner(r), text_or(weir_get_text(r->lease, "instance_type"), "machine"));
        if (price) {
            weir_str_addf(&s, ":%s:%s", text_or(weir_get_text(r->lease, "region"), "-"),
                          text_or(weir_get_text(r->lease, "market"), "-"));
        }
    } else {
        weir_str_addf(&s, "owned:%s", text_or(weir_get_text(r->node, "gpu"), "machine"));
        if (price) {
            weir_str_addf(&s, ":%s", text_or(weir_get_text(r->charge, "pool"), "-"));
        }
    }
    weir_csv_write_field(out, weir_str_sv(&s));
}

static void put_sku(struct weir_str *out, const struct row *r)
{
    add_sku(out, r, false);
}

static void put_sku_price(struct weir_str *out, const struct row *r)
{
    add_sku(out, r, true);
}

static void put_meter(struct weir_str *out, const struct row *r)
{
    (void)r;
    weir_str_adds(out, "Machine Hours");
}

static void put_service_category(struct weir_str *out, const struct row *r)
{
    (void)r;
    weir_str_adds(out, "Compute");
}

/* What is allocated to a project is of no sub account: FOCUS 1.3 wants all dimensions of the parts to be those of the whole. */
static void put_project(struct weir_str *out, const struct row *r)
{
    if (r->spread_by != NULL) {
        return;
    }
    weir_csv_write_field(out, weir_sv_of(text_or(weir_get_text(r->charge, "project"), "")));
}

static void put_project_type(struct weir_str *out, const struct row *r)
{
    weir_str_adds(out, r->spread_by != NULL || weir_get_text(r->charge, "project") == NULL ? "" : "Project");
}

static void put_allocated_method(struct weir_str *out, const struct row *r)
{
    if (r->spread_by != NULL) {
        weir_str_addf(out, "weir:spread:%s", r->spread_by);
    }
}

static void put_allocated_to(struct weir_str *out, const struct row *r)
{
    if (r->spread_by != NULL) {
        weir_csv_write_field(out, weir_sv_of(text_or(weir_get_text(r->charge, "project"), "")));
    }
}

/* Where it runs; what rules charge for no machine has no host. */
static void put_host(struct weir_str *out, const struct row *r)
{
    if (has_node(r)) {
        put_publisher(out, r);
    } else {
        weir_str_adds(out, "Not Applicable");
    }
}

static void put_account_type(struct weir_str *out, const struct row *r)
{
    (void)r;
    weir_str_adds(out, "Organization");
}

/* The job's own tags as they are, and weir's under a prefix. */
static void put_tags(struct weir_str *out, const struct row *r)
{
    static const char *const own[] = {"user", "pool", "job_name"};
    json_t *tags = json_copy(json_object_get(r->charge, "tags"));
    for (size_t i = 0; i < WEIR_ARRAY_LEN(own); i++) {
        WEIR_CLEANUP(weir_str_release) struct weir_str key = WEIR_STR_INIT(64);
        weir_str_addf(&key, "weir/%s", own[i]);
        const char *value = weir_get_text(r->charge, own[i]);
        if (value != NULL) {
            (void)json_object_set_new(tags, weir_str_cstr(&key), json_string(value));
        }
    }
    if (tags != NULL) {
        WEIR_CLEANUP(weir_freep) char *text = json_dumps(tags, JSON_COMPACT | JSON_SORT_KEYS);
        weir_csv_write_field(out, weir_sv_of(text));
        json_decref(tags);
    }
}

static void put_x_account(struct weir_str *out, const struct row *r)
{
    weir_str_adds(out, r->account);
}

static void put_x_rule(struct weir_str *out, const struct row *r)
{
    if (weir_get_is_set(r->charge, "rule")) {
        weir_str_add_i64(out, weir_get_i64(r->charge, "rule", 0));
    }
}

static void put_x_job(struct weir_str *out, const struct row *r)
{
    if (weir_get_is_set(r->charge, "job")) {
        weir_str_add_i64(out, weir_get_i64(r->charge, "job", 0));
    }
}

static void put_x_gpu(struct weir_str *out, const struct row *r)
{
    weir_csv_write_field(out, weir_sv_of(text_or(weir_get_text(r->lease != NULL ? r->lease : r->node, "gpu"), "")));
}

static void put_x_gpu_hours(struct weir_str *out, const struct row *r)
{
    int64_t n = weir_mul_div_sat(weir_get_i64(r->charge, "gpu_us", 0), 1000000, WEIR_US_PER_HOUR);
    add_money(out, n); /* six places, as money has */
}

/* Null where nobody knows it, and so with carbon. */
static void put_x_energy(struct weir_str *out, const struct row *r)
{
    if (weir_get_is_set(r->charge, "energy_mj")) {
        weir_out_kwh(out, weir_get_i64(r->charge, "energy_mj", 0));
    }
}

static void put_x_carbon(struct weir_str *out, const struct row *r)
{
    if (weir_get_is_set(r->charge, "carbon_ug")) {
        add_money(out, weir_get_i64(r->charge, "carbon_ug", 0)); /* six places of a gram */
    }
}

/* ---- rows ---- */

static const struct {
    const char *name;
    void (*put)(struct weir_str *out, const struct row *r); /* NULL: null in every row */
    bool is_1_3; /* since then */
} columns[] = {
    {"AllocatedMethodId", put_allocated_method, true},
    {"AllocatedResourceId", put_allocated_to, true},
    {"AllocatedResourceName", put_allocated_to, true},
    {"AllocatedTags", NULL, true},
    {"AvailabilityZone", NULL},
    {"BilledCost", put_cost},
    {"BillingAccountId", put_issuer},
    {"BillingAccountName", put_issuer},
    {"BillingAccountType", put_account_type},
    {"BillingCurrency", put_currency},
    {"BillingPeriodEnd", put_billing_end},
    {"BillingPeriodStart", put_billing_start},
    {"ChargeCategory", put_category},
    {"ChargeClass", put_class},
    {"ChargeDescription", put_description},
    {"ChargeFrequency", put_frequency},
    {"ChargePeriodEnd", put_end},
    {"ChargePeriodStart", put_start},
    {"ConsumedQuantity", add_quantity},
    {"ConsumedUnit", put_unit},
    {"ContractedCost", put_cost},
    {"ContractedUnitPrice", add_unit_price},
    {"EffectiveCost", put_cost},
    {"HostProviderName", put_host, true},
    {"InvoiceId", put_invoice},
    {"InvoiceIssuerName", put_issuer},
    {"ListCost", put_cost},
    {"ListUnitPrice", add_unit_price},
    {"PricingCategory", put_pricing_category},
    {"PricingCurrency", put_pricing_currency},
    {"PricingCurrencyContractedUnitPrice", put_pricing_unit_price},
    {"PricingCurrencyEffectiveCost", put_pricing_cost},
    {"PricingCurrencyListUnitPrice", put_pricing_unit_price},
    {"PricingQuantity", add_quantity},
    {"PricingUnit", put_unit},
    {"ProviderName", put_issuer},
    {"PublisherName", put_publisher},
    {"RegionId", put_region},
    {"RegionName", put_region},
    {"ResourceId", put_resource},
    {"ResourceName", put_resource_name},
    {"ResourceType", put_resource_type},
    {"ServiceCategory", put_service_category},
    {"ServiceName", put_service},
    {"ServiceProviderName", put_issuer, true},
    {"ServiceSubcategory", put_subcategory},
    {"SkuId", put_sku},
    {"SkuMeter", put_meter},
    {"SkuPriceDetails", NULL},
    {"SkuPriceId", put_sku_price},
    {"SubAccountId", put_project},
    {"SubAccountName", put_project},
    {"SubAccountType", put_project_type},
    {"Tags", put_tags},
    {"x_Account", put_x_account},
    {"x_CarbonGrams", put_x_carbon},
    {"x_EnergyKwh", put_x_energy},
    {"x_GpuHours", put_x_gpu_hours},
    {"x_GpuModel", put_x_gpu},
    {"x_JobId", put_x_job},
    {"x_RuleId", put_x_rule},
};

static bool has_column(const struct focus *f, size_t i)
{
    return f->conf->is_1_3 || !columns[i].is_1_3;
}

static void write_head(const struct focus *f, FILE *out)
{
    const char *before = "";
    for (size_t i = 0; i < WEIR_ARRAY_LEN(columns); i++) {
        if (has_column(f, i)) {
            (void)fprintf(out, "%s%s", before, columns[i].name);
            before = ",";
        }
    }
    (void)fputc('\n', out);
}

static const json_t *find(const json_t *list, const struct weir_map *at, int64_t id)
{
    uint64_t i = 0;
    return id > 0 && weir_map_get(at, (uint64_t)id, &i) ? json_array_get(list, i - 1) : NULL;
}

static void write_row(const struct focus *f, const json_t *charge, FILE *out, struct weir_str *line)
{
    struct row r = {
        .f = f,
        .charge = charge,
        .node = find(f->nodes, &f->node_at, weir_get_i64(charge, "node", 0)),
        .lease = find(f->leases, &f->lease_at, weir_get_i64(charge, "lease", 0)),
        .account = text_or(weir_get_text(charge, "account"), "unknown"),
        .micro = weir_get_i64(charge, "amount_micro", 0),
        .held_us = weir_get_i64(charge, "held_us", 0),
    };
    r.is_usage = r.held_us > 0 && r.micro >= 0;
    r.spread_by = f->conf->is_1_3 && weir_get_is_set(charge, "project") ? weir_get_text(charge, "spread_by") : NULL;
    weir_str_clear(line);
    const char *before = "";
    for (size_t i = 0; i < WEIR_ARRAY_LEN(columns); i++) {
        if (has_column(f, i)) {
            weir_str_adds(line, before);
            before = ",";
            if (columns[i].put != NULL) {
                columns[i].put(line, &r);
            }
        }
    }
    weir_str_addc(line, '\n');
    (void)fwrite(line->p, 1, line->n, out);
}

/* ---- pages ---- */

static int load(struct weir_client *api, const char *path, json_t **ret, struct weir_map *at, struct weir_err *err)
{
    size_t i;
    json_t *o;
    int r = weir_client_list(api, path, 0, ret, NULL, err);
    json_array_foreach(r < 0 ? NULL : *ret, i, o)
    {
        weir_map_put(at, (uint64_t)weir_get_i64(o, "id", 0), i + 1);
    }
    return r;
}

static void make_path(struct weir_str *path, const struct weir_focus_conf *c, const char *cursor)
{
    char buf[WEIR_RFC3339_SIZE];
    weir_str_clear(path);
    weir_str_adds(path, "/v1/charges");
    weir_query_add(path, "from", c->from.us == 0 ? NULL : weir_wall_format(c->from, buf));
    weir_query_add(path, "to", c->to.us == 0 ? NULL : weir_wall_format(c->to, buf));
    weir_query_add(path, "hourly", c->hourly ? "true" : NULL);
    weir_query_add(path, "view", c->priced ? "price" : NULL);
    weir_query_add(path, "project", c->project);
    weir_query_add(path, "user", c->user);
    weir_query_add(path, "cursor", cursor);
}

static int write_pages(struct weir_client *api, const struct focus *f, FILE *out, uint64_t *ret_rows,
                       int64_t *ret_micro, struct weir_err *err)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str path = WEIR_STR_INIT(8192);
    WEIR_CLEANUP(weir_str_release) struct weir_str line = WEIR_STR_INIT(ROW_BYTES_MAX);
    char cursor[24] = "";
    bool more = true;
    while (more && !ferror(out)) {
        json_t *page = NULL;
        json_t *charge;
        size_t i;
        make_path(&path, f->conf, cursor[0] == '\0' ? NULL : cursor);
        int r = weir_client_call(api, "GET", weir_str_cstr(&path), NULL, &page, err);
        if (r < 0) {
            return r;
        }
        json_array_foreach(json_object_get(page, "items"), i, charge)
        {
            write_row(f, charge, out, &line);
            *ret_micro = weir_i64_add_sat(*ret_micro, weir_get_i64(charge, "amount_micro", 0));
            ++*ret_rows;
        }
        const char *next = weir_get_text(page, "next");
        more = next != NULL;
        (void)snprintf(cursor, sizeof cursor, "%s", more ? next : "");
        json_decref(page);
    }
    return 0;
}

int weir_focus_write(struct weir_client *api, const struct weir_focus_conf *conf, FILE *out, uint64_t *ret_rows,
                     int64_t *ret_micro, struct weir_err *err)
{
    struct focus f = {.conf = conf};
    *ret_rows = 0;
    *ret_micro = 0;
    int r = load(api, "/v1/nodes?all=true", &f.nodes, &f.node_at, err);
    r = r < 0 ? r : load(api, "/v1/leases?all=true", &f.leases, &f.lease_at, err);
    if (r == 0) {
        write_head(&f, out);
        r = write_pages(api, &f, out, ret_rows, ret_micro, err);
    }
    json_decref(f.nodes);
    json_decref(f.leases);
    weir_map_release(&f.node_at);
    weir_map_release(&f.lease_at);
    if (r == 0 && (fflush(out) != 0 || ferror(out))) {
        r = weir_fail(err, weir_error_from_errno(errno), "the bill cannot be written: %s", strerror(errno));
    }
    return r;
}
