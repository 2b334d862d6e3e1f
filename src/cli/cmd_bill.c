/* SPDX-License-Identifier: Apache-2.0 */

/* weir bill: sums of the ledger, and the proof that it is balanced. */

#include <inttypes.h>
#include <stdio.h>

#include "api_client.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/zone.h"
#include "closes.h"
#include "command.h"
#include "corrections.h"
#include "focus.h"
#include "lists.h"
#include "output.h"

enum { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV, FORMAT_FOCUS };

static const char *const formats[] = {
    [FORMAT_TABLE] = "table", [FORMAT_JSON] = "json", [FORMAT_CSV] = "csv", [FORMAT_FOCUS] = "focus", NULL};

static const char *const focus_versions[] = {"1.2", "1.3", NULL};

enum { VIEW_COST, VIEW_PRICE, VIEW_CARBON };

static const char *const views[] = {[VIEW_COST] = "cost", [VIEW_PRICE] = "price", [VIEW_CARBON] = "carbon", NULL};

const struct weir_opt weir_opts_bill[] = {
    {"by", 'b', WEIR_OPT_TEXT, .arg = "KEYS",
     .help = "comma list of project, user, tag:NAME, pool, job, node, gpu, day, month, late (default project)"},
    {"month", 'm', WEIR_OPT_TEXT, .arg = "YYYY-MM", .help = "a calendar month"},
    {"from", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "from this time (default: the beginning)"},
    {"to", 0, WEIR_OPT_TIME, .arg = "TIME", .help = "up to this time (default: now)"},
    {"zone", 'z', WEIR_OPT_TEXT, .arg = "NAME",
     .help = "time zone of days and months, like Europe/Berlin (default UTC)"},
    {"project", 'A', WEIR_OPT_TEXT, .arg = "NAME", .help = "only this project"},
    {"user", 'u', WEIR_OPT_TEXT, .arg = "NAME", .help = "only this user"},
    {"job", 0, WEIR_OPT_COUNT, .arg = "JOB", .help = "only this job", .min = 1, .max = INT64_MAX},
    {"lease", 0, WEIR_OPT_COUNT, .arg = "LEASE", .help = "credit, charge: this rented machine", .min = 1, .max = INT64_MAX},
    {"node", 0, WEIR_OPT_COUNT, .arg = "NODE", .help = "credit, charge: this machine, by its id", .min = 1, .max = INT64_MAX},
    {"reason", 0, WEIR_OPT_TEXT, .arg = "TEXT", .help = "credit, charge: why; it is kept with the postings"},
    {"format", 'f', WEIR_OPT_CHOICE, .arg = "FORMAT",
     .help = "of the result; focus is CSV by the FOCUS specification", .choices = formats},
    {"focus-version", 0, WEIR_OPT_CHOICE, .arg = "VERSION", .help = "--format focus: of the specification (default 1.2)", .choices = focus_versions},
    {"view", 0, WEIR_OPT_CHOICE, .arg = "VIEW", .help = "what it cost (default), what rules charge, or energy and what it emitted", .choices = views},
    {"hourly", 0, WEIR_OPT_FLAG, .help = "--format focus: rows for an hour instead of a day"},
    {"issuer", 0, WEIR_OPT_TEXT, .arg = "NAME", .help = "--format focus: who bills (default weir)"},
    {"check", 0, WEIR_OPT_FLAG, .help = "prove that both sides of the whole ledger are equal; exit code 65 where not"},
    {0},
};

struct amount {
    const char *key;
    const char *title;
    void (*put)(struct weir_str *out, int64_t v); /* NULL: money */
};

static const struct amount amounts[] = {
    {"used_micro", "USED"},           {"waste_boot_micro", "BOOT"}, {"waste_lost_micro", "LOST"},
    {"waste_failed_micro", "FAILED"}, {"idle_micro", "IDLE"},       {"total_micro", "TOTAL"},
};

static const struct amount prices[] = {{"total_micro", "COST"}, {"adjust_micro", "ADJUST"}, {"price_micro", "PRICE"}};

static const struct amount carbons[] = {
    {"energy_mj", "KWH", weir_out_kwh},          {"idle_energy_mj", "IDLE KWH", weir_out_kwh},
    {"carbon_ug", "KG CO2E", weir_out_kg},       {"idle_carbon_ug", "IDLE KG", weir_out_kg},
    {"total_micro", "COST"},                     {"carbon_unknown_micro", "UNKNOWN"},
};

static const struct {
    const struct amount *amount;
    size_t n;
    const char *note;
} tables[] = {
    [VIEW_COST] = {amounts, WEIR_ARRAY_LEN(amounts), "BOOT, LOST and FAILED are waste: machines starting, work lost, failed tasks."},
    [VIEW_PRICE] = {prices, WEIR_ARRAY_LEN(prices), "ADJUST is what rules add to the cost or take off it."},
    [VIEW_CARBON] = {carbons, WEIR_ARRAY_LEN(carbons), "Energy is from the grid, with PUE. UNKNOWN is the cost of use whose carbon is not known."},
};

static size_t view_of(const struct weir_args *args)
{
    const char *view = weir_args_text(args, "view");
    size_t i = VIEW_COST;
    for (size_t k = 0; view != NULL && views[k] != NULL; k++) {
        i = weir_streq(view, views[k]) ? k : i;
    }
    return i;
}

/* What is null is not known. */
static void add_amount(struct weir_str *out, const json_t *row, const struct amount *a)
{
    char money[WEIR_MONEY_SIZE];
    int64_t v = weir_get_i64(row, a->key, 0);
    if (!json_is_integer(json_object_get(row, a->key))) {
        weir_str_adds(out, "unknown");
    } else if (v == 0) {
        weir_str_addc(out, '0');
    } else if (a->put != NULL) {
        a->put(out, v);
    } else {
        weir_str_adds(out, weir_money_format(v, money));
    }
}

/* Of both sides, as they are equal. */
static void print_grid(const json_t *checked)
{
    struct weir_str s = WEIR_STR_INIT(256);
    weir_out_kwh(&s, weir_get_i64(checked, "energy_mj", 0));
    weir_str_adds(&s, " kWh, ");
    if (json_is_null(json_object_get(checked, "carbon_ug"))) {
        weir_str_adds(&s, "carbon unknown");
    } else {
        weir_out_kg(&s, weir_get_i64(checked, "carbon_ug", 0));
        weir_str_adds(&s, " kg CO2e");
    }
    (void)printf("energy and carbon of both sides: %s\n", weir_str_cstr(&s));
    weir_str_release(&s);
}

static void print_leases(const json_t *checked)
{
    int64_t leases = weir_get_i64(checked, "leases", 0);
    int64_t unproven = weir_get_i64(checked, "leases_unproven", 0);
    if (leases > 0 && weir_get_bool(checked, "balanced")) {
        (void)printf("rented machines charged what their prices make: %" PRId64 ", with %" PRId64 " changes of price\n", leases,
                     weir_get_i64(checked, "lease_prices", 0));
    }
    if (unproven > 0) {
        (void)printf("not proven so: %" PRId64 ", whose prices an older version noted\n", unproven);
    }
}

static int check(struct weir_client *api, const struct weir_args *args, struct weir_err *err)
{
    static const char *const own[] = {"by",   "month", "from",   "to",     "zone",   "project",
                                      "user", "job",   "format", "hourly", "issuer", "view",   "focus-version"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(own); i++) {
        if (weir_args_has(args, own[i])) {
            return weir_fail(
                err, -WEIR_EINVAL,
                "options '--check' and '--%s' do not go together: the whole ledger is checked, or nothing is proven",
                own[i]);
        }
    }
    json_t *o = NULL;
    int r = weir_client_call(api, "GET", "/v1/bill/check", NULL, &o, err);
    if (r < 0) {
        return r;
    }
    bool balanced = weir_get_bool(o, "balanced");
    if (weir_args_has(args, "json")) {
        weir_print_json(o);
    } else {
        char cost[WEIR_MONEY_SIZE];
        char used[WEIR_MONEY_SIZE];
        char idle[WEIR_MONEY_SIZE];
        char waste[WEIR_MONEY_SIZE];
        WEIR_CLEANUP(weir_freep) char *currency = weir_list_currency(api);
        (void)printf("%s: postings %" PRId64 ", nodes %" PRId64 ", spans %" PRId64 "\n",
                     balanced ? "balanced" : "NOT BALANCED", weir_get_i64(o, "postings", 0),
                     weir_get_i64(o, "nodes", 0), weir_get_i64(o, "spans", 0));
        (void)printf("cost %s %s = used %s + idle %s + waste %s %s\n",
                     weir_money_format(weir_get_i64(o, "cost_micro", 0), cost), currency,
                     weir_money_format(weir_get_i64(o, "used_micro", 0), used),
                     weir_money_format(weir_get_i64(o, "idle_micro", 0), idle),
                     weir_money_format(weir_get_i64(o, "waste_micro", 0), waste), currency);
        if (weir_get_i64(o, "energy_mj", 0) > 0) {
            print_grid(o);
        }
        print_leases(o);
    }
    const char *unlike = weir_get_text(o, "close_error");
    if (!weir_args_has(args, "json") && weir_get_i64(o, "closes", 0) > 0) {
        (void)printf("closed months as they were closed: %" PRId64 "\n", weir_get_i64(o, "closes", 0));
    }
    if (unlike != NULL) {
        r = weir_fail(err, -WEIR_ECORRUPT, "%s", unlike);
    }
    if (!balanced) {
        const char *why = weir_get_text(o, "error");
        r = weir_fail(err, -WEIR_ECORRUPT, "the ledger is not balanced: %s",
                      why != NULL ? why : "the broker does not say where");
    }
    json_decref(o);
    return r;
}

static const char *key_text(const json_t *row, const char *key, char buf[static 32])
{
    const json_t *v = json_object_get(row, key);
    if (json_is_integer(v)) {
        (void)snprintf(buf, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return buf;
    }
    return json_is_string(v) ? json_string_value(v) : "";
}

static void table_row(struct weir_table *t, const json_t *row, const json_t *by, bool is_total, const struct amount *amount, size_t n_amounts)
{
    size_t i;
    json_t *key;
    char buf[32];
    /* What nobody used has no project, user, tag or job. */
    bool idle = weir_get_i64(row, "used_micro", 0) == 0 && weir_get_i64(row, "idle_micro", 0) > 0;
    json_array_foreach(by, i, key)
    {
        const char *name = json_string_value(key);
        const char *text = is_total ? (i == 0 ? "total" : " ") : key_text(row, name, buf);
        const char *none = weir_streq(name, "late") ? "-" : idle ? "(idle)" : "(none)"; /* what is not late is in time */
        weir_table_cell_styled(t, is_total ? WEIR_STYLE_TITLE : WEIR_STYLE_PLAIN, text[0] != '\0' ? text : none);
    }
    struct weir_str text = WEIR_STR_INIT(64);
    weir_out_milli(&text, weir_get_i64(row, "gpu_hours_milli", 0));
    weir_table_cell(t, weir_str_cstr(&text));
    for (size_t k = 0; k < n_amounts; k++) {
        weir_str_clear(&text);
        add_amount(&text, row, &amount[k]);
        weir_table_cell(t, weir_str_cstr(&text));
    }
    weir_str_release(&text);
}

static void print_table(const json_t *bill, size_t view)
{
    enum { KEYS_MAX = 16 };
    const json_t *by = json_object_get(bill, "by");
    size_t n_keys = json_array_size(by) < KEYS_MAX ? json_array_size(by) : KEYS_MAX;
    if (n_keys == 0 || n_keys != json_array_size(by)) {
        weir_talk("bill: the broker's answer names no keys; see --format json");
        return;
    }
    const struct amount *amount = tables[view].amount;
    size_t n_amounts = tables[view].n;
    struct weir_column column[KEYS_MAX + 1 + WEIR_ARRAY_LEN(amounts)];
    char title[KEYS_MAX][64];
    memset(column, 0, sizeof column);
    for (size_t i = 0; i < n_keys; i++) {
        const char *key = json_string_value(json_array_get(by, i));
        key = key != NULL ? key : "?";
        size_t k = 0;
        for (; key[k] != '\0' && k + 1 < sizeof title[i]; k++) {
            title[i][k] = (char)(key[k] >= 'a' && key[k] <= 'z' ? key[k] - 'a' + 'A' : key[k]);
        }
        title[i][k] = '\0';
        column[i] = (struct weir_column){title[i], .shrink = true};
    }
    column[n_keys] = (struct weir_column){"GPU-HOURS", .right = true};
    for (size_t k = 0; k < n_amounts; k++) {
        column[n_keys + 1 + k] = (struct weir_column){amount[k].title, .right = true};
    }
    WEIR_CLEANUP(weir_table_freep) struct weir_table *t = weir_table_new(column, n_keys + 1 + n_amounts);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(bill, "rows"), i, row)
    {
        table_row(t, row, by, false, amount, n_amounts);
    }
    table_row(t, json_object_get(bill, "total"), by, true, amount, n_amounts);
    const char *from = weir_get_text(bill, "from");
    const char *to = weir_get_text(bill, "to");
    (void)printf("Amounts in %s, from %s to %s%s. %s\n\n",
                 weir_get_currency(bill), from != NULL ? from : "the beginning", to != NULL ? to : "now",
                 weir_get_bool(bill, "closed") ? ", closed" : "",
                 tables[view].note);
    weir_table_print(t, stdout);
}

/* RFC 4180; a cell that a spreadsheet would take for a formula is made text. */
static void csv_text(const char *text)
{
    bool formula = text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;
    (void)putchar('"');
    if (formula) {
        (void)putchar('\'');
    }
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"') {
            (void)putchar('"');
        }
        (void)putchar(*p);
    }
    (void)putchar('"');
}

static void csv_amount(const json_t *row, const struct amount *a)
{
    struct weir_str text = WEIR_STR_INIT(64);
    char money[WEIR_MONEY_SIZE];
    if (a->put == NULL) {
        weir_str_adds(&text, weir_money_format(weir_get_i64(row, a->key, 0), money));
    } else if (json_is_integer(json_object_get(row, a->key))) { /* else not known: empty */
        a->put(&text, weir_get_i64(row, a->key, 0));
    }
    (void)printf(",%s", weir_str_cstr(&text));
    weir_str_release(&text);
}

static void print_csv(const json_t *bill, size_t view)
{
    static const struct amount money[] = {
        {"used_micro", "used"},           {"waste_boot_micro", "waste_boot"},
        {"waste_lost_micro", "waste_lost"}, {"waste_failed_micro", "waste_failed"},
        {"idle_micro", "idle"},           {"total_micro", "total"},
        {"cost_provider_micro", "cost_provider"}, {"cost_depreciation_micro", "cost_depreciation"},
        {"cost_energy_micro", "cost_energy"}, {"cost_upkeep_micro", "cost_upkeep"},
        {"adjust_micro", "adjust"},       {"price_micro", "price"}, /* of the price view */
    };
    static const struct amount carbon[] = {
        {"energy_mj", "energy_kwh", weir_out_kwh}, {"idle_energy_mj", "idle_energy_kwh", weir_out_kwh},
        {"carbon_ug", "carbon_kg", weir_out_kg},   {"idle_carbon_ug", "idle_carbon_kg", weir_out_kg},
        {"total_micro", "total"},                  {"carbon_unknown_micro", "carbon_unknown"},
    };
    const struct amount *columns = view == VIEW_CARBON ? carbon : money;
    size_t n_columns = view == VIEW_CARBON ? WEIR_ARRAY_LEN(carbon) : WEIR_ARRAY_LEN(money) - (view == VIEW_PRICE ? 0 : 2);
    const json_t *by = json_object_get(bill, "by");
    size_t i;
    json_t *key;
    json_array_foreach(by, i, key)
    {
        csv_text(json_is_string(key) ? json_string_value(key) : "");
        (void)putchar(',');
    }
    (void)fputs("gpu_hours", stdout);
    for (size_t k = 0; k < n_columns; k++) {
        (void)printf(",%s", columns[k].title);
    }
    (void)fputs(",currency\n", stdout);
    json_t *row;
    size_t r;
    json_array_foreach(json_object_get(bill, "rows"), r, row)
    {
        char buf[32];
        json_array_foreach(by, i, key)
        {
            csv_text(json_is_string(key) ? key_text(row, json_string_value(key), buf) : "");
            (void)putchar(',');
        }
        struct weir_str hours = WEIR_STR_INIT(64);
        weir_out_milli(&hours, weir_get_i64(row, "gpu_hours_milli", 0));
        (void)fputs(weir_str_cstr(&hours), stdout);
        weir_str_release(&hours);
        for (size_t k = 0; k < n_columns; k++) {
            csv_amount(row, &columns[k]);
        }
        (void)putchar(',');
        csv_text(weir_get_currency(bill));
        (void)putchar('\n');
    }
}

/* A bare date is that day's beginning in the zone; what has a time says itself what it means. */
static struct weir_wall time_in(const struct weir_zone *zone, const struct weir_args *args, const char *name)
{
    enum { DATE_BYTES = 10 };
    struct weir_wall t = weir_args_time(args, name);
    const char *text = weir_args_text(args, name);
    return text != NULL && strlen(text) == DATE_BYTES ? weir_zone_to_wall(zone, weir_wall_to_date(t)) : t;
}

static int read_span(const struct weir_args *args, struct weir_wall *ret_from, struct weir_wall *ret_to,
                     struct weir_err *err)
{
    WEIR_CLEANUP(weir_zone_freep) struct weir_zone *zone = NULL;
    int r = weir_args_has(args, "zone") ? weir_zone_load(&zone, weir_args_text(args, "zone"), err) : 0;
    if (r < 0) {
        return r;
    }
    struct weir_wall from = time_in(zone, args, "from");
    struct weir_wall to = time_in(zone, args, "to");
    const char *month = weir_args_text(args, "month");
    if (month != NULL) {
        struct weir_date first;
        if ((r = weir_parse_month(weir_sv_of(month), &first, err)) < 0) {
            return weir_fail_prefix(err, r, "option '--month'");
        }
        if (from.us != 0 || to.us != 0) {
            return weir_fail(err, -WEIR_EINVAL, "give either --month or --from and --to");
        }
        from = weir_zone_to_wall(zone, first);
        to = weir_zone_to_wall(zone, weir_date_next_month(first));
    }
    if (from.us != 0 && to.us != 0 && to.us <= from.us) {
        return weir_fail(err, -WEIR_EINVAL, "--to is not after --from");
    }
    *ret_from = from;
    *ret_to = to;
    return 0;
}

static int add_span(const struct weir_args *args, struct weir_str *path, struct weir_err *err)
{
    char buf[WEIR_RFC3339_SIZE];
    struct weir_wall from;
    struct weir_wall to;
    int r = read_span(args, &from, &to, err);
    if (r < 0) {
        return r;
    }
    if (from.us != 0) {
        weir_query_add(path, "from", weir_wall_format(from, buf));
    }
    if (to.us != 0) {
        weir_query_add(path, "to", weir_wall_format(to, buf));
    }
    return 0;
}

static int bill(struct weir_client *api, const struct weir_args *args, struct weir_err *err)
{
    struct weir_str path = WEIR_STR_INIT(8192);
    size_t view = view_of(args);
    weir_str_adds(&path, "/v1/bill");
    const char *by = weir_args_text(args, "by");
    weir_query_add(&path, "by", by != NULL ? by : "project");
    weir_query_add(&path, "zone", weir_args_text(args, "zone"));
    weir_query_add(&path, "view", view == VIEW_PRICE ? views[view] : NULL); /* carbon stands in every answer */
    weir_query_add(&path, "project", weir_args_text(args, "project"));
    weir_query_add(&path, "user", weir_args_text(args, "user"));
    weir_query_add(&path, "job", weir_args_text(args, "job"));
    int r = add_span(args, &path, err);
    json_t *o = NULL;
    if (r == 0) {
        r = weir_client_call(api, "GET", weir_str_cstr(&path), NULL, &o, err);
    }
    weir_str_release(&path);
    if (r < 0) {
        return r;
    }
    const char *format = weir_args_text(args, "format");
    if (format == NULL) {
        format = formats[weir_args_has(args, "json") ? FORMAT_JSON : FORMAT_TABLE];
    }
    if (weir_streq(format, formats[FORMAT_JSON])) {
        weir_print_json(o);
    } else if (weir_streq(format, formats[FORMAT_CSV])) {
        print_csv(o, view);
    } else {
        print_table(o, view);
        if (json_array_size(json_object_get(o, "rows")) == 0) {
            weir_talk("bill: nothing is booked for that");
        }
    }
    json_decref(o);
    return 0;
}

static int focus(struct weir_client *api, const struct weir_args *args, struct weir_err *err)
{
    static const char *const others[] = {"by", "job", "zone", "json"};
    const char *issuer = weir_args_text(args, "issuer");
    struct weir_focus_conf conf = {.priced = view_of(args) == VIEW_PRICE,
                                   .is_1_3 = weir_args_has(args, "focus-version") && weir_streq(weir_args_text(args, "focus-version"), "1.3"),
                                   .hourly = weir_args_has(args, "hourly"),
                                   .project = weir_args_text(args, "project"),
                                   .user = weir_args_text(args, "user"),
                                   .issuer = issuer == NULL ? "weir" : issuer};
    uint64_t rows = 0;
    int64_t micro = 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(others); i++) {
        if (weir_args_has(args, others[i])) {
            return weir_fail(
                err, -WEIR_EINVAL,
                "options '--format focus' and '--%s' do not go together: its columns are given, and its times are UTC",
                others[i]);
        }
    }
    if (view_of(args) == VIEW_CARBON) {
        return weir_fail(err, -WEIR_EINVAL, "options '--format focus' and '--view carbon' do not go together: rows of FOCUS are of cost, or of price, and have "
                                            "what they emitted in x_CarbonGrams");
    }
    int r = read_span(args, &conf.from, &conf.to, err);
    r = r < 0 ? r : weir_focus_write(api, &conf, stdout, &rows, &micro, err);
    if (r == 0) {
        char money[WEIR_MONEY_SIZE];
        weir_talk("bill: %" PRIu64 " rows, %s in all", rows, weir_money_format(micro, money));
    }
    return r;
}

static bool is_focus(const struct weir_args *args)
{
    const char *format = weir_args_text(args, "format");
    return format != NULL && weir_streq(format, formats[FORMAT_FOCUS]);
}

/* What may stand behind 'weir bill', and which options it takes besides those of all commands. */
static const struct {
    const char *word;
    const char *form;
    size_t n_operands;
    int (*fn)(const struct weir_args *args, struct weir_err *err);
    const char *options[8];
} words[] = {
    {"credit", "credit AMOUNT", 2, weir_correction_add, {"job", "lease", "node", "from", "to", "reason"}},
    {"charge", "charge AMOUNT", 2, weir_correction_add, {"job", "lease", "node", "from", "to", "reason"}},
    {"corrections", "corrections", 1, weir_corrections_list, {NULL}},
    {"close", "close YYYY-MM", 2, weir_close_month, {"zone"}},
    {"closes", "closes", 1, weir_closes_list, {NULL}},
};

static bool is_option_of(size_t word, const char *name)
{
    for (const char *const *p = words[word].options; *p != NULL; p++) {
        if (weir_streq(*p, name)) {
            return true;
        }
    }
    return false;
}

static int do_word(const struct weir_args *args, struct weir_err *err)
{
    const char *names[WEIR_ARRAY_LEN(words) + 1] = {NULL};
    size_t w = WEIR_ARRAY_LEN(words);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(words); i++) {
        names[i] = words[i].word;
        w = weir_streq(args->operand[0], words[i].word) ? i : w;
    }
    if (w == WEIR_ARRAY_LEN(words)) {
        const char *near = weir_nearest(weir_sv_of(args->operand[0]), names);
        return weir_fail(err, -WEIR_EINVAL, "'%.40s' is none of credit, charge, corrections, close, closes%s%s%s", args->operand[0],
                         near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
    }
    if (args->n_operands != words[w].n_operands) {
        return weir_fail(err, -WEIR_EINVAL, "it is 'weir bill %s'", words[w].form);
    }
    for (const struct weir_opt *o = weir_opts_bill; o->name != NULL; o++) {
        if (weir_args_has(args, o->name) && !is_option_of(w, o->name)) {
            return weir_fail(err, -WEIR_EINVAL, "option '--%s' is not for '%s'", o->name, words[w].word);
        }
    }
    return words[w].fn(args, err);
}

int weir_cmd_bill(const struct weir_args *args, struct weir_err *err)
{
    static const char *const of_corrections[] = {"lease", "node", "reason"};
    if (args->n_operands > 0) {
        return do_word(args, err);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(of_corrections); i++) {
        if (weir_args_has(args, of_corrections[i])) {
            return weir_fail(err, -WEIR_EINVAL, "option '--%s' is for 'weir bill credit' and 'weir bill charge'", of_corrections[i]);
        }
    }
    const char *format = weir_args_text(args, "format");
    if (!is_focus(args) && !weir_args_has(args, "check") && (weir_args_has(args, "hourly") || weir_args_has(args, "issuer") || weir_args_has(args, "focus-version"))) {
        return weir_fail(err, -WEIR_EINVAL, "options '--hourly', '--issuer' and '--focus-version' are for '--format focus'");
    }
    if (weir_args_has(args, "json") && format != NULL && !is_focus(args) && !weir_streq(format, formats[FORMAT_JSON])) {
        return weir_fail(err, -WEIR_EINVAL, "options '--json' and '--format %s' do not go together: give one of them", format);
    }
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    int r = weir_client_open(&api, args, err);
    if (r < 0) {
        return r;
    }
    if (weir_args_has(args, "check")) {
        return check(api, args, err);
    }
    return is_focus(args) ? focus(api, args, err) : bill(api, args, err);
}
