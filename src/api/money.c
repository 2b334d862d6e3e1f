/* SPDX-License-Identifier: Apache-2.0 */
/* Projects, the bill and its proof. The service settles first, then the ledger is read on a lane of its own: it
 * may be large. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/proof.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"

enum {
    BILL_ROWS_MAX = 100000,
    CHECK_BATCH = 20000, /* postings read before the reader is given back for a moment */
    PROJECT_WEIGHT_MAX = 1000000,
    VIEW_PRICE = 1 << 1, /* of the words of the parameter */
};

static void settle(struct api_request *rq, void (*finish)(struct api_call *call))
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_SETTLE);
    for (size_t i = 0; i < API_PARAMS_MAX; i++) {
        call->value[i].text = NULL; /* the request's own text is read again on the lane */
    }
    call->lane = API_LANE_SLOW;
    call->finish = finish;
    api_call_post(call);
}

/* ---- bill ---- */

struct bill_query {
    struct weir_bill_filter filter;
    enum weir_bill_by by[WEIR_BILL_KEYS_MAX];
    char *tag[WEIR_BILL_KEYS_MAX];
    char key[WEIR_BILL_KEYS_MAX][WEIR_SPEC_NAME_MAX + 8]; /* as asked: "project", "tag:team" */
    size_t n_by;
    char zone[API_ZONE_NAME_MAX + 1];
};

struct bill_sum {
    struct weir_json j;
    const struct bill_query *q;
    struct weir_bill_row total;
    uint64_t n;
};

static int parse_by(struct weir_sv text, struct bill_query *q, struct weir_err *err)
{
    static const char *const words[] = {"project", "user", "tag:NAME", "pool", "job",
                                        "node",    "gpu",  "day",      "month", "late", NULL};
    static const enum weir_bill_by by[] = {WEIR_BILL_BY_PROJECT,   WEIR_BILL_BY_USER, WEIR_BILL_BY_TAG,
                                           WEIR_BILL_BY_POOL,      WEIR_BILL_BY_JOB,  WEIR_BILL_BY_NODE,
                                           WEIR_BILL_BY_GPU_MODEL, WEIR_BILL_BY_DAY,  WEIR_BILL_BY_MONTH,
                                           WEIR_BILL_BY_LATE};
    while (text.p != NULL) {
        struct weir_sv word = weir_sv_trim(weir_sv_cut(&text, ','));
        if (q->n_by == WEIR_BILL_KEYS_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "by: at most %d keys", WEIR_BILL_KEYS_MAX);
        }
        size_t i = 0;
        bool is_tag = weir_sv_starts(word, WEIR_SV("tag:")) && word.n > 4 && word.n < sizeof q->key[0];
        while (words[i] != NULL && (i == 2 ? !is_tag : !weir_sv_eq(word, weir_sv_of(words[i])))) {
            i++;
        }
        if (words[i] == NULL) {
            const char *near = weir_nearest(word, words);
            return near == NULL ? weir_fail(err, -WEIR_EINVAL,
                                            "by: '%.*s' is none of project, user, tag:NAME, pool, job, node, gpu, day, month, late",
                                            WEIR_SV_ARG(word))
                                : weir_fail(err, -WEIR_EINVAL, "by: '%.*s' is not known; did you mean '%s'?",
                                            WEIR_SV_ARG(word), near);
        }
        for (size_t k = 0; k < q->n_by; k++) {
            if (weir_sv_eq(word, weir_sv_of(q->key[k]))) {
                return weir_fail(err, -WEIR_EINVAL, "by: '%s' is named twice", q->key[k]);
            }
        }
        (void)snprintf(q->key[q->n_by], sizeof q->key[0], "%.*s", WEIR_SV_ARG(word));
        q->by[q->n_by] = by[i];
        q->tag[q->n_by] = is_tag ? q->key[q->n_by] + 4 : NULL;
        q->n_by++;
    }
    return 0;
}

static void sums_json(struct weir_json *j, const struct weir_bill_row *r, bool priced)
{
    static const char *const waste[] = {"waste_boot_micro", "waste_lost_micro", "waste_failed_micro"};
    static const char *const cost[] = {"cost_provider_micro", "cost_depreciation_micro", "cost_energy_micro",
                                       "cost_upkeep_micro"};
    weir_json_kv_u64(j, "gpu_hours_milli", (r->gpu_us + WEIR_US_PER_HOUR / 2000) / (WEIR_US_PER_HOUR / 1000));
    weir_json_kv_i64(j, "used_micro", r->used_micro);
    weir_json_kv_i64(j, "idle_micro", r->idle_micro);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(waste); i++) {
        weir_json_kv_i64(j, waste[i], r->waste_micro[i]);
    }
    weir_json_kv_i64(j, "total_micro", r->total_micro);
    if (priced) {
        weir_json_kv_i64(j, "adjust_micro", r->price_micro);
        weir_json_kv_i64(j, "price_micro", weir_i64_add_sat(r->total_micro, r->price_micro));
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cost); i++) {
        weir_json_kv_i64(j, cost[i], r->cost_micro[i]);
    }
    api_footprint_json(j, &r->footprint);
    api_known_json(j, "idle_energy_mj", r->idle_energy_mj, r->idle_has_unknown);
    api_known_json(j, "idle_carbon_ug", r->idle_carbon_ug, r->idle_has_unknown);
}

static void add_row(struct weir_bill_row *total, const struct weir_bill_row *r)
{
    total->gpu_us += r->gpu_us;
    total->used_micro = weir_i64_add_sat(total->used_micro, r->used_micro);
    total->idle_micro = weir_i64_add_sat(total->idle_micro, r->idle_micro);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(total->waste_micro); i++) {
        total->waste_micro[i] = weir_i64_add_sat(total->waste_micro[i], r->waste_micro[i]);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(total->cost_micro); i++) {
        total->cost_micro[i] = weir_i64_add_sat(total->cost_micro[i], r->cost_micro[i]);
    }
    total->total_micro = weir_i64_add_sat(total->total_micro, r->total_micro);
    total->price_micro = weir_i64_add_sat(total->price_micro, r->price_micro);
    weir_footprint_add(&total->footprint, &r->footprint);
    total->idle_energy_mj = weir_i64_add_sat(total->idle_energy_mj, r->idle_energy_mj);
    total->idle_carbon_ug = weir_i64_add_sat(total->idle_carbon_ug, r->idle_carbon_ug);
    total->idle_has_unknown = total->idle_has_unknown || r->idle_has_unknown;
}

static int on_bill_row(void *ctx, const struct weir_bill_row *row)
{
    struct bill_sum *b = ctx;
    if (b->n++ == BILL_ROWS_MAX) {
        return -WEIR_ELIMIT;
    }
    weir_json_object(&b->j);
    for (size_t i = 0; i < b->q->n_by; i++) {
        weir_json_kv_cstr(&b->j, b->q->key[i], row->key[i] == NULL ? "" : row->key[i]);
    }
    sums_json(&b->j, row, b->q->filter.priced);
    weir_json_end(&b->j);
    add_row(&b->total, row);
    return 0;
}

static int on_close(void *ctx, const struct weir_close_row *row)
{
    struct weir_wall *until = ctx;
    *until = row->close.to;
    return 0;
}

static int bill(struct api_call *call, struct weir_str *out, struct weir_err *err)
{
    struct weir_api *a = call->api;
    const struct bill_query *q = call->data;
    struct bill_sum b = {.j = weir_json_begin(out), .q = q};
    unsigned which;
    WEIR_CLEANUP(weir_zone_freep) struct weir_zone *zone = NULL;
    int rc = weir_zone_load(&zone, q->zone, err);
    if (rc < 0) {
        return rc;
    }
    struct weir_bill_filter filter = q->filter;
    filter.zone = zone;
    filter.project = call->name[0] == '\0' ? NULL : call->name;
    filter.user = call->filter_user[0] == '\0' ? NULL : call->filter_user;
    weir_json_object(&b.j);
    weir_json_kv_cstr(&b.j, "currency", a->conf.currency);
    weir_json_kv_cstr(&b.j, "zone", q->zone);
    if (filter.priced) {
        weir_json_kv_cstr(&b.j, "view", "price");
    }
    weir_json_kv_time(&b.j, "from", q->filter.from);
    weir_json_kv_time(&b.j, "to", q->filter.to.us == INT64_MAX ? weir_clock_wall(a->conf.clock) : q->filter.to);
    weir_json_key(&b.j, "by");
    weir_json_array(&b.j);
    for (size_t i = 0; i < q->n_by; i++) {
        weir_json_cstr(&b.j, q->key[i]);
    }
    weir_json_end(&b.j);
    struct weir_project_set own;
    filter.within = api_within(call->reach, &call->who, &own);
    struct weir_store *s = api_reader_take(a, &which);
    struct weir_wall closed_until = {0};
    rc = s->ops->each_close(s, on_close, &closed_until, err);
    weir_json_kv_bool(&b.j, "closed", filter.to.us <= closed_until.us);
    weir_json_key(&b.j, "rows");
    weir_json_array(&b.j);
    rc = rc < 0 ? rc : s->ops->bill(s, &filter, q->by, (const char *const *)q->tag, q->n_by, on_bill_row, &b, err);
    api_reader_put(a, which);
    if (rc == -WEIR_ELIMIT) {
        return weir_fail(err, rc, "the bill has more than %d rows; narrow it with from, to, project or user",
                         BILL_ROWS_MAX);
    }
    weir_json_end(&b.j);
    weir_json_key(&b.j, "total");
    weir_json_object(&b.j);
    sums_json(&b.j, &b.total, filter.priced);
    weir_json_end(&b.j);
    weir_json_end(&b.j);
    return rc;
}

static void bill_finish(struct api_call *call)
{
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    int rc = bill(call, &out, &err);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(call->http, rc, &err);
        return;
    }
    api_reply(call->http, 200, &out);
}

const char *api_view_word(unsigned i)
{
    static const char *const views[] = {"cost", "price"};
    return views[i];
}

static void bill_settled(struct api_call *call)
{
    api_price(call, (struct weir_wall){0}, bill_finish);
}

void api_handle_bill(struct api_request *rq)
{
    const char *by = api_text(rq, "by");
    struct bill_query *q = weir_alloc(sizeof *q);
    const struct api_value *from = api_param(rq, "from");
    const struct api_value *to = api_param(rq, "to");
    (void)snprintf(q->zone, sizeof q->zone, "%s", api_text(rq, "zone") == NULL ? "UTC" : api_text(rq, "zone"));
    q->filter.priced = api_number(rq, "view", 0) == VIEW_PRICE;
    q->filter.from = from->time;
    /* Without an end: all that was posted, so that no posting is cut by the moment of asking. */
    q->filter.to = to->is_given ? to->time : WEIR_WALL_MAX;
    q->filter.job.v = api_number(rq, "job", 0);
    int rc = parse_by(weir_sv_of(by == NULL ? "project" : by), q, &rq->err);
    if (rc == 0 && to->is_given && q->filter.to.us <= q->filter.from.us) {
        rc = weir_fail(&rq->err, -WEIR_EINVAL, "to is not after from");
    }
    if (rc == 0 && q->filter.from.us > weir_clock_wall(rq->api->conf.clock).us) {
        char buf[WEIR_RFC3339_SIZE];
        rc = weir_fail(&rq->err, -WEIR_EINVAL, "from %s is in the future: nothing is billed ahead", weir_wall_format(q->filter.from, buf));
    }
    if (rc < 0) {
        free(q);
        api_fail(rq->http, rc, &rq->err);
        return;
    }
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_SETTLE);
    const char *project = api_text(rq, "project");
    const char *user = api_text(rq, "user");
    if (project != NULL) {
        (void)snprintf(call->name, sizeof call->name, "%s", project);
    }
    if (user != NULL) {
        (void)snprintf(call->filter_user, sizeof call->filter_user, "%s", user);
    }
    call->data = q;
    call->lane = API_LANE_SLOW;
    call->finish = q->filter.priced ? bill_settled : bill_finish;
    api_call_post(call);
}

/* ---- proof ---- */

/* Batch by batch, so that others get at the reader too. */
static int prove(struct weir_api *a, struct weir_proof_result *ret, struct weir_err *err)
{
    unsigned which;
    struct weir_proof *p = NULL;
    struct weir_store *s = api_reader_take(a, &which);
    int rc = weir_proof_new(&p, s, err);
    api_reader_put(a, which);
    if (rc < 0) {
        return rc;
    }
    do {
        s = api_reader_take(a, &which);
        rc = weir_proof_step(p, s, CHECK_BATCH, err);
        api_reader_put(a, which);
    } while (rc > 0);
    if (rc == 0) {
        weir_proof_end(p, ret);
    }
    weir_proof_free(p);
    return rc;
}

static void check_finish(struct api_call *call)
{
    struct weir_err err = {{0}};
    struct weir_proof_result proof;
    int rc = prove(call->api, &proof, &err);
    if (rc < 0) {
        api_fail(call->http, rc, &err);
        return;
    }
    const struct weir_bill_check_result r = proof.sum;
    bool is_bad = proof.error.text[0] != '\0';
    struct weir_str out = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_bool(&j, "balanced", !is_bad);
    weir_json_kv_u64(&j, "postings", r.postings);
    weir_json_kv_u64(&j, "nodes", r.nodes);
    weir_json_kv_u64(&j, "spans", r.spans);
    weir_json_kv_i64(&j, "cost_micro", r.cost_micro);
    weir_json_kv_i64(&j, "used_micro", r.used_micro);
    weir_json_kv_i64(&j, "idle_micro", r.idle_micro);
    weir_json_kv_i64(&j, "waste_micro", r.waste_micro);
    weir_json_kv_i64(&j, "price_micro", r.price_micro);
    weir_json_kv_i64(&j, "energy_mj", r.energy_mj);
    api_known_json(&j, "carbon_ug", r.carbon_ug, r.carbon_has_unknown);
    weir_json_kv_u64(&j, "leases", r.leases);
    weir_json_kv_u64(&j, "lease_prices", r.prices);
    weir_json_kv_u64(&j, "leases_unproven", r.leases_unproven);
    weir_json_kv_cstr(&j, "error", is_bad ? proof.error.text : NULL);
    weir_json_kv_u64(&j, "closes", proof.closes);
    weir_json_kv_cstr(&j, "close_error", proof.close_error.text[0] == '\0' ? NULL : proof.close_error.text);
    weir_json_end(&j);
    const char *wrong = is_bad ? proof.error.text : proof.close_error.text;
    api_finding(call, WEIR_FINDING_LEDGER, "ledger", wrong[0] == '\0' ? NULL : wrong, &out);
}

void api_handle_bill_check(struct api_request *rq)
{
    settle(rq, check_finish);
}

/* ---- projects ---- */

struct project_item {
    char *name;
    struct weir_project_view view;
    int64_t spent_micro;
    int64_t waste_micro;
};

struct project_list {
    const struct weir_project_set *within;
    WEIR_VEC(struct project_item) items;
    struct weir_map by_name_hash; /* of the name -> index + 1 */
    struct weir_json *pools;      /* by_pool of one project */
};

static int on_project(void *ctx, const struct weir_project_row *row)
{
    struct project_list *l = ctx;
    if (!weir_project_set_has(l->within, row->view.id)) {
        return 0;
    }
    struct project_item p = {.name = weir_strdup(row->name), .view = row->view};
    weir_vec_push(&l->items, p);
    weir_map_put(&l->by_name_hash, weir_hash_bytes(p.name, strlen(p.name)), l->items.n);
    return 0;
}

static struct project_item *find_project(struct project_list *l, const char *name)
{
    uint64_t i = 0;
    if (weir_map_get(&l->by_name_hash, weir_hash_bytes(name, strlen(name)), &i) &&
        weir_streq(l->items.p[i - 1].name, name)) {
        return &l->items.p[i - 1];
    }
    return NULL;
}

static int on_project_cost(void *ctx, const struct weir_bill_row *row)
{
    struct project_list *l = ctx;
    struct project_item *p = row->key[0] == NULL ? NULL : find_project(l, row->key[0]);
    if (p != NULL) {
        p->spent_micro = row->used_micro;
        p->waste_micro =
            weir_i64_add_sat(weir_i64_add_sat(row->waste_micro[0], row->waste_micro[1]), row->waste_micro[2]);
    }
    return 0;
}

static int on_pool_cost(void *ctx, const struct weir_bill_row *row)
{
    struct weir_json *j = ctx;
    weir_json_object(j);
    weir_json_kv_cstr(j, "pool", row->key[0] == NULL ? "" : row->key[0]);
    weir_json_kv_i64(j, "total_micro", row->total_micro);
    weir_json_end(j);
    return 0;
}

static int load_projects(struct weir_store *s, struct project_list *l, const char *only, struct weir_err *err)
{
    static const enum weir_bill_by by[] = {WEIR_BILL_BY_PROJECT};
    static const char *const tag[] = {NULL};
    struct weir_bill_filter f = {.within = l->within, .to = WEIR_WALL_MAX, .project = only};
    int rc = s->ops->each_project(s, on_project, l, err);
    return rc < 0 ? rc : s->ops->bill(s, &f, by, tag, 1, on_project_cost, l, err);
}

static void free_projects(struct project_list *l)
{
    for (size_t i = 0; i < l->items.n; i++) {
        free(l->items.p[i].name);
    }
    weir_vec_release(&l->items);
    weir_map_release(&l->by_name_hash);
}

/* Without the closing brace: the single form adds to it. */
static void project_json(struct weir_json *j, const struct project_item *p, const char *currency)
{
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", p->name);
    weir_json_kv_u64(j, "weight", p->view.weight);
    weir_json_kv_i64(j, "delay_cost_micro_per_hour", p->view.delay_cost_micro_per_hour);
    weir_json_kv_i64(j, "spent_micro", p->spent_micro);
    weir_json_kv_i64(j, "waste_micro", p->waste_micro);
    weir_json_kv_i64(j, "total_micro", weir_i64_add_sat(p->spent_micro, p->waste_micro));
    weir_json_kv_cstr(j, "currency", currency);
}

static void projects_finish(struct api_call *call)
{
    struct weir_api *a = call->api;
    struct weir_err err = {{0}};
    struct weir_project_set own;
    struct project_list l = {.within = api_within(call->reach, &call->who, &own)};
    unsigned which;
    struct weir_store *s = api_reader_take(a, &which);
    int rc = load_projects(s, &l, NULL, &err);
    api_reader_put(a, which);
    if (rc < 0) {
        free_projects(&l);
        api_fail(call->http, rc, &err);
        return;
    }
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct weir_json j = weir_json_begin(&out);
    const struct api_value *limit = api_call_param(call, "limit");
    size_t i = (size_t)api_call_param(call, "cursor")->number;
    size_t end = limit->is_given ? (size_t)limit->number : API_LIST_LIMIT;
    end = i >= l.items.n || end > l.items.n - i ? l.items.n : i + end;
    weir_json_object(&j);
    weir_json_key(&j, "items");
    weir_json_array(&j);
    for (; i < end; i++) {
        project_json(&j, &l.items.p[i], a->conf.currency);
        weir_json_end(&j);
    }
    weir_json_end(&j);
    weir_json_key(&j, "next");
    if (end < l.items.n) {
        char buf[24];
        (void)snprintf(buf, sizeof buf, "%zu", end);
        weir_json_cstr(&j, buf);
    } else {
        weir_json_null(&j);
    }
    weir_json_end(&j);
    free_projects(&l);
    api_reply(call->http, 200, &out);
}

void api_handle_projects(struct api_request *rq)
{
    settle(rq, projects_finish);
}

static void project_finish(struct api_call *call)
{
    static const enum weir_bill_by by[] = {WEIR_BILL_BY_POOL};
    static const char *const tag[] = {NULL};
    struct weir_api *a = call->api;
    struct weir_err err = {{0}};
    struct project_list l = {0};
    struct weir_bill_filter f = {.to = WEIR_WALL_MAX, .project = call->name};
    struct weir_str out = WEIR_STR_INIT(1 << 20);
    struct weir_json j = weir_json_begin(&out);
    unsigned which;
    struct weir_store *s = api_reader_take(a, &which);
    int rc = load_projects(s, &l, call->name, &err);
    struct project_item *p = rc < 0 ? NULL : find_project(&l, call->name);
    if (rc >= 0 && p == NULL) {
        rc = weir_fail(&err, -WEIR_ENOTFOUND, "project '%s' does not exist", call->name);
    }
    if (p != NULL) {
        project_json(&j, p, a->conf.currency);
        weir_json_key(&j, "by_pool");
        weir_json_array(&j);
        rc = s->ops->bill(s, &f, by, tag, 1, on_pool_cost, &j, &err);
        weir_json_end(&j);
        weir_json_key(&j, "members");
        weir_json_array(&j);
        rc = rc < 0 ? rc : api_members_json(s, call->name, &j, &err);
        weir_json_end(&j);
        weir_json_end(&j);
    }
    api_reader_put(a, which);
    free_projects(&l);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(call->http, rc, &err);
        return;
    }
    api_reply(call->http, 200, &out);
}

void api_handle_project(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_SETTLE);
    (void)snprintf(call->name, sizeof call->name, "%s", rq->path[0].text);
    call->lane = API_LANE_SLOW;
    call->finish = project_finish;
    api_call_post(call);
}

static int read_project(const json_t *body, const char *currency, struct weir_command *cmd, struct weir_err *err)
{
    const json_t *weight = json_object_get(body, "weight");
    const json_t *cost = json_object_get(body, "delay_cost");
    const json_t *micro = json_object_get(body, "delay_cost_micro_per_hour");
    cmd->u.project.weight = -1;
    cmd->u.project.delay_cost_micro_per_hour = -1;
    if (weight != NULL) {
        cmd->u.project.weight = json_integer_value(weight);
        if (cmd->u.project.weight < 1 || cmd->u.project.weight > PROJECT_WEIGHT_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "weight must be 1 to %d", PROJECT_WEIGHT_MAX);
        }
    }
    if (cost != NULL && micro != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "give delay_cost or delay_cost_micro_per_hour, not both");
    }
    if (cost != NULL) {
        int rc = weir_parse_money_in(weir_sv_of(json_string_value(cost)), currency, &cmd->u.project.delay_cost_micro_per_hour, err);
        if (rc < 0) {
            return weir_fail_prefix(err, rc, "delay_cost");
        }
    }
    if (micro != NULL) {
        cmd->u.project.delay_cost_micro_per_hour = json_integer_value(micro);
    }
    if ((cost != NULL || micro != NULL) && (cmd->u.project.delay_cost_micro_per_hour < 0 ||
                                            cmd->u.project.delay_cost_micro_per_hour > INT64_C(1000000000000))) {
        return weir_fail(err, -WEIR_EINVAL, "delay_cost must be between 0 and 1000000 per hour");
    }
    return 0;
}

void api_handle_project_set(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_PROJECT_SET);
    call->body = api_body(rq);
    int rc = call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("ProjectSet"), call->body, &rq->err);
    rc = rc < 0 ? rc : read_project(call->body, rq->api->conf.currency, &call->cmd, &rq->err);
    if (rc < 0) {
        api_fail(rq->http, rc, &rq->err);
        api_call_free(call);
        return;
    }
    (void)snprintf(call->name, sizeof call->name, "%s", rq->path[0].text);
    call->cmd.u.project.name = call->name;
    call->lane = API_LANE_SLOW;
    call->finish = project_finish;
    api_call_post(call);
}
