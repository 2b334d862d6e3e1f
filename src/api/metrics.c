/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures for Prometheus, text format 0.0.4. Names follow its rules: one unit, base units, counters end in
 * _total. Nothing has a label of unbounded many values (no job, no user).
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "base/vec.h"

enum { LABEL_MAX = 256 };

static void head(struct weir_str *out, const char *name, const char *type, const char *help)
{
    weir_str_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void label(struct weir_str *out, bool first, const char *name, const char *value)
{
    weir_str_addf(out, "%c%s=\"", first ? '{' : ',', name);
    for (size_t i = 0; value != NULL && value[i] != '\0' && i < LABEL_MAX; i++) {
        if (value[i] == '\\' || value[i] == '"') {
            weir_str_addc(out, '\\');
        }
        if (value[i] == '\n') {
            weir_str_adds(out, "\\n");
        } else {
            weir_str_addc(out, value[i]);
        }
    }
    weir_str_addc(out, '"');
}

/* The end of a line whose value has six places; of an amount its currency comes first. */
static void micro_value(struct weir_str *out, int64_t micro, const char *currency)
{
    char buf[WEIR_MONEY_SIZE];
    if (currency != NULL) {
        label(out, false, "currency", currency);
    }
    weir_str_addf(out, "} %s\n", weir_money_format(micro, buf));
}

/* One line of a table of sums; the label values are borrowed for the addition only. */
struct sum {
    char *a;
    char *b;
    char *c;
    int64_t v;
};

struct sums {
    WEIR_VEC(struct sum) rows;
};

static void add(struct sums *s, const char *a, const char *b, const char *c, int64_t v)
{
    a = a == NULL ? "" : a;
    b = b == NULL ? "" : b;
    c = c == NULL ? "" : c;
    for (size_t i = 0; i < s->rows.n; i++) {
        struct sum *r = &s->rows.p[i];
        if (weir_streq(r->a, a) && weir_streq(r->b, b) && weir_streq(r->c, c)) {
            r->v = weir_i64_add_sat(r->v, v);
            return;
        }
    }
    struct sum r = {weir_strdup(a), weir_strdup(b), weir_strdup(c), v};
    weir_vec_push(&s->rows, r);
}

/* Writes and empties it. Names NULL: the label is not used. */
static void write_sums(struct weir_str *out, struct sums *s, const char *metric, const char *a, const char *b,
                       const char *c, const char *currency)
{
    for (size_t i = 0; i < s->rows.n; i++) {
        struct sum *r = &s->rows.p[i];
        weir_str_adds(out, metric);
        label(out, true, a, r->a);
        if (b != NULL) {
            label(out, false, b, r->b);
        }
        if (c != NULL) {
            label(out, false, c, r->c);
        }
        if (currency != NULL) {
            micro_value(out, r->v, currency);
        } else {
            weir_str_addf(out, "} %" PRId64 "\n", r->v);
        }
        free(r->a);
        free(r->b);
        free(r->c);
    }
    weir_vec_release(&s->rows);
}

struct node_sums {
    struct sums nodes;
    struct sums gpus;
    struct sums rate;
};

static int on_node(void *ctx, const struct weir_node_row *row)
{
    struct node_sums *n = ctx;
    const struct weir_node_view *v = &row->view;
    int free_gpus = __builtin_popcount(v->gpu_free_mask);
    add(&n->nodes, row->pool, weir_node_state_name(v->state), NULL, 1);
    if (v->spec.gpus > 0 && v->state != WEIR_NODE_GONE) {
        add(&n->gpus, row->pool, row->gpu_model, "idle", free_gpus);
        add(&n->gpus, row->pool, row->gpu_model, "allocated", v->spec.gpus - free_gpus);
    }
    if (v->state != WEIR_NODE_GONE) {
        add(&n->rate, row->pool, NULL, NULL, v->spec.rates.full_micro_per_hour);
    }
    return 0;
}

static int on_lease(void *ctx, const struct weir_lease_row *row)
{
    add(ctx, row->view.offer.provider, weir_lease_state_name(row->view.state),
        weir_market_name((enum weir_market)row->view.offer.market), 1);
    return 0;
}

/* Sums of the ledger by project, pool and use. */
struct totals {
    const char *currency;
    struct weir_str cost;
    struct weir_str energy;
    struct weir_str carbon;
    struct weir_str unknown;
};

static void total_line(struct weir_str *out, const char *metric, const struct weir_total_row *row, int64_t micro, const char *currency)
{
    static const char *const uses[WEIR_ACCOUNT_MAX] = {[WEIR_ACCOUNT_JOB] = "used",
                                                       [WEIR_ACCOUNT_IDLE] = "idle",
                                                       [WEIR_ACCOUNT_WASTE_BOOT] = "waste_boot",
                                                       [WEIR_ACCOUNT_WASTE_LOST] = "waste_lost",
                                                       [WEIR_ACCOUNT_WASTE_FAILED] = "waste_failed"};
    weir_str_adds(out, metric);
    label(out, true, "project", row->project);
    label(out, false, "pool", row->pool);
    label(out, false, "use", uses[row->account]);
    micro_value(out, micro, currency);
}

static int on_total(void *ctx, const struct weir_total_row *row)
{
    struct totals *t = ctx;
    const struct weir_footprint *f = &row->footprint;
    total_line(&t->cost, "weir_cost", row, row->amount_micro, t->currency);
    if (f->energy_mj > 0) {
        total_line(&t->energy, "weir_energy_joules_total", row, weir_mul_div_sat(f->energy_mj, 1000, 1), NULL);
    }
    if (f->energy_mj > 0 && (f->carbon_ug > 0 || !f->has_unknown)) {
        total_line(&t->carbon, "weir_carbon_grams_total", row, f->carbon_ug, NULL);
    }
    if (f->unknown_micro != 0) {
        total_line(&t->unknown, "weir_carbon_unknown_cost", row, f->unknown_micro, t->currency);
    }
    return 0;
}

static void add_totals(struct weir_str *out, struct totals *t)
{
    const struct {
        struct weir_str *lines;
        const char *name;
        const char *type;
        const char *help;
    } rows[] = {
        {&t->cost, "weir_cost", "gauge", "What the ledger has by use, in its currency; a correction moves it from one to another."},
        {&t->energy, "weir_energy_joules_total", "counter", "What nodes took from the grid, with PUE, by what they were used for."},
        {&t->carbon, "weir_carbon_grams_total", "counter", "What that emitted, in grams of CO2e, where it is known."},
        {&t->unknown, "weir_carbon_unknown_cost", "gauge", "The cost of use whose carbon is not known, in the ledger's currency."},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        head(out, rows[i].name, rows[i].type, rows[i].help);
        weir_str_add(out, weir_str_cstr(rows[i].lines), rows[i].lines->n);
        out->overflowed = out->overflowed || rows[i].lines->overflowed;
        weir_str_release(rows[i].lines);
    }
}

/* The counts that the deciding thread keeps: {"jobs": {"waiting": 1}, "tasks": {...}}. */
static void status_counts(struct weir_str *out, const struct weir_command *cmd, const char *key, const char *metric,
                          const char *help)
{
    json_t *status = json_loadb(weir_str_cstr(&cmd->reply), cmd->reply.n, 0, NULL);
    const char *state;
    json_t *v;
    head(out, metric, "gauge", help);
    json_object_foreach(json_object_get(status, key), state, v)
    {
        if (json_is_integer(v)) {
            weir_str_adds(out, metric);
            label(out, true, "state", state);
            weir_str_addf(out, "} %" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
        }
    }
    json_decref(status);
}

/* {"alerts": {"firing": {condition: n}, "dropped": n, "receivers": [{name, sent, failed}]}} */
static void status_alerts(struct weir_str *out, const struct weir_command *cmd)
{
    json_t *status = json_loadb(weir_str_cstr(&cmd->reply), cmd->reply.n, 0, NULL);
    const json_t *alerts = json_object_get(status, "alerts");
    const char *condition;
    size_t i;
    json_t *v;
    head(out, "weir_alerts", "gauge", "Alerts that fire.");
    json_object_foreach(json_object_get(alerts, "firing"), condition, v)
    {
        weir_str_adds(out, "weir_alerts");
        label(out, true, "condition", condition);
        weir_str_addf(out, "} %" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
    }
    head(out, "weir_alerts_dropped_total", "counter", "Times that an alert found no room.");
    weir_str_addf(out, "weir_alerts_dropped_total %" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(alerts, "dropped")));
    head(out, "weir_alert_messages_total", "counter", "Messages to receivers that were taken, and tries that failed.");
    json_array_foreach(json_object_get(alerts, "receivers"), i, v)
    {
        static const char *const outcomes[] = {"sent", "failed"};
        for (size_t k = 0; k < WEIR_ARRAY_LEN(outcomes); k++) {
            weir_str_adds(out, "weir_alert_messages_total");
            label(out, true, "receiver", json_string_value(json_object_get(v, "name")));
            label(out, false, "outcome", outcomes[k]);
            weir_str_addf(out, "} %" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(v, outcomes[k])));
        }
    }
    json_decref(status);
}

static uint64_t count_fds(void)
{
    uint64_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        n += e->d_name[0] != '.';
    }
    if (d != NULL) {
        (void)closedir(d);
        n -= n > 0; /* the one that reads */
    }
    return n;
}

static uint64_t resident_bytes(void)
{
    char buf[128] = "";
    FILE *f = fopen("/proc/self/statm", "re");
    uint64_t pages = 0;
    if (f != NULL) {
        if (fgets(buf, sizeof buf, f) != NULL) {
            const char *p = strchr(buf, ' ');
            for (p = p == NULL ? "" : p + 1; *p >= '0' && *p <= '9'; p++) {
                pages = pages * 10 + (uint64_t)(*p - '0');
            }
        }
        (void)fclose(f);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void process(struct weir_str *out, struct weir_api *a)
{
    struct rusage u = {0};
    (void)getrusage(RUSAGE_SELF, &u);
    int64_t cpu_us =
        (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * WEIR_US_PER_S + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
    int64_t up_us = weir_clock_mono(a->conf.clock).us - a->started.us;
    int64_t start_us = weir_clock_wall(a->conf.clock).us - up_us;
    head(out, "process_cpu_seconds_total", "counter", "CPU time used.");
    weir_str_addf(out, "process_cpu_seconds_total %" PRId64 ".%06" PRId64 "\n", cpu_us / WEIR_US_PER_S,
                  cpu_us % WEIR_US_PER_S);
    head(out, "process_resident_memory_bytes", "gauge", "Resident memory.");
    weir_str_addf(out, "process_resident_memory_bytes %" PRIu64 "\n", resident_bytes());
    head(out, "process_open_fds", "gauge", "Open file descriptors.");
    weir_str_addf(out, "process_open_fds %" PRIu64 "\n", count_fds());
    head(out, "process_start_time_seconds", "gauge", "Start of the broker since 1970.");
    weir_str_addf(out, "process_start_time_seconds %" PRId64 "\n", start_us / WEIR_US_PER_S);
}

static void requests(struct weir_str *out, struct weir_api *a)
{
    head(out, "weir_http_requests_total", "counter", "Requests by operation.");
    for (size_t i = 0; api_routes[i].method != NULL; i++) {
        weir_str_adds(out, "weir_http_requests_total");
        label(out, true, "operation", api_routes[i].id);
        weir_str_addf(out, "} %llu\n", atomic_load_explicit(&a->n_requests[i], memory_order_relaxed));
    }
    head(out, "weir_http_refused_total", "counter", "Requests without a route, or from somebody who may not.");
    weir_str_addf(out, "weir_http_refused_total %llu\n", atomic_load_explicit(&a->n_refused, memory_order_relaxed));
}

static int from_store(struct weir_str *out, struct weir_api *a, struct weir_err *err)
{
    struct node_sums n = {0};
    struct sums leases = {0};
    struct totals totals = {a->conf.currency, WEIR_STR_INIT(API_REPLY_BYTES_MAX), WEIR_STR_INIT(API_REPLY_BYTES_MAX), WEIR_STR_INIT(API_REPLY_BYTES_MAX),
                            WEIR_STR_INIT(API_REPLY_BYTES_MAX)};
    unsigned which;
    struct weir_store *s = api_reader_take(a, &which);
    int rc = s->ops->each_node(s, false, on_node, &n, err);
    rc = rc < 0 ? rc : s->ops->each_lease(s, false, on_lease, &leases, err);
    rc = rc < 0 ? rc : s->ops->each_total(s, on_total, &totals, err);
    api_reader_put(a, which);
    head(out, "weir_nodes", "gauge", "Nodes by pool and state.");
    write_sums(out, &n.nodes, "weir_nodes", "pool", "state", NULL, NULL);
    head(out, "weir_gpus", "gauge", "GPUs by pool, model and state.");
    write_sums(out, &n.gpus, "weir_gpus", "pool", "gpu_model", "state", NULL);
    head(out, "weir_rate_per_hour", "gauge", "What the nodes cost per hour, in the ledger's currency.");
    write_sums(out, &n.rate, "weir_rate_per_hour", "pool", NULL, NULL, a->conf.currency);
    head(out, "weir_leases", "gauge", "Leases that have not ended.");
    write_sums(out, &leases, "weir_leases", "provider", "state", "capacity_type", NULL);
    add_totals(out, &totals);
    return rc;
}

static void metrics_finish(struct api_call *call)
{
    struct weir_api *a = call->api;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    head(&out, "weir_build_info", "gauge", "Version of the broker.");
    weir_str_adds(&out, "weir_build_info{version=\"" WEIR_VERSION "\"} 1\n");
    status_counts(&out, &call->cmd, "jobs", "weir_jobs", "Jobs by state.");
    status_counts(&out, &call->cmd, "tasks", "weir_tasks", "Tasks by state.");
    status_alerts(&out, &call->cmd);
    int rc = from_store(&out, a, &err);
    requests(&out, a);
    process(&out, a);
    if (rc < 0 || out.overflowed) {
        weir_str_release(&out);
        api_fail(call->http, rc < 0 ? rc : -WEIR_ELIMIT, &err);
        return;
    }
    weir_request_reply(call->http, 200, "text/plain; version=0.0.4; charset=utf-8", weir_str_sv(&out), NULL, 0);
    weir_str_release(&out);
}

void api_handle_metrics(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_STATUS);
    call->lane = API_LANE_SLOW;
    call->finish = metrics_finish;
    api_call_post(call);
}
