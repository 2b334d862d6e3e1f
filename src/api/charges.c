/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The use of nodes as rows for exports. A page reads a bounded piece of the ledger and adds it up by itself, so that
 * any span, however long, goes out in bounded memory on both sides; what is used over many pages comes as several rows.
 */

#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/rule.h"
#include "base/mem.h"
#include "base/vec.h"
#include "bill/charge.h"

enum {
    POSTINGS_MAX = 100000, /* read for one page */
    VIEW_PRICE = 1 << 1,   /* of the words of the parameter */
    ROWS_MAX = 10000,      /* a page ends behind the posting that reaches it */
};

struct charge_scan {
    struct weir_charges *charges;
    WEIR_VEC(struct weir_close) closes;
    uint64_t last;
    uint32_t n;
    bool more;
};

static int on_posting(void *ctx, const struct weir_posting *p)
{
    struct charge_scan *s = ctx;
    size_t rows;
    weir_charges_add(s->charges, p);
    s->last = p->id;
    (void)weir_charges_rows(s->charges, &rows);
    s->more = ++s->n == POSTINGS_MAX || rows >= ROWS_MAX;
    return s->more ? 1 : 0;
}

static int on_close(void *ctx, const struct weir_close_row *row)
{
    struct charge_scan *s = ctx;
    weir_vec_push(&s->closes, row->close);
    return 0;
}

/* ---- names ---- */

struct names {
    struct weir_map at; /* id + 1 -> index */
    WEIR_VEC(char *) text;
};

static void names_add(struct names *n, uint64_t id, const char *text)
{
    weir_map_put(&n->at, id + 1, n->text.n);
    weir_vec_push(&n->text, weir_strdup(text));
}

static int on_name(void *ctx, const struct weir_name_row *row)
{
    names_add(ctx, row->id, row->name);
    return 0;
}

static int on_project(void *ctx, const struct weir_project_row *row)
{
    names_add(ctx, row->view.id.v, row->name);
    return 0;
}

static const char *names_get(const struct names *n, uint64_t id)
{
    uint64_t at;
    return weir_map_get(&n->at, id + 1, &at) ? n->text.p[at] : NULL;
}

static void names_release(struct names *n)
{
    for (size_t i = 0; i < n->text.n; i++) {
        free(n->text.p[i]);
    }
    weir_vec_release(&n->text);
    weir_map_release(&n->at);
}

/* ---- rows ---- */

struct charge_page {
    struct weir_api *api;
    struct weir_store *store;
    struct weir_json j;
    const char *only_project; /* NULL: any */
    const char *only_user;
    const struct weir_project_set *within; /* NULL: all */
    struct names project;
    struct names user;
    struct names pool;
    struct names job; /* name, and tags in the entry behind it */
    struct names spread; /* rules by which idle time is shared out: by what */
    struct api_node_names nodes;
};

static int on_rule(void *ctx, const struct weir_rule_row *row)
{
    struct api_rule rule;
    json_t *body = weir_rule_kind_find(row->kind) == WEIR_RULE_SPREAD ? json_loads(row->body, 0, NULL) : NULL;
    if (body != NULL && api_rule_read(body, row->kind, &rule, NULL) == 0) {
        names_add(ctx, row->id, rule.rule.by_weight ? "weight" : "use");
    }
    json_decref(body);
    return 0;
}

static int on_job(void *ctx, const struct weir_job_row *row)
{
    struct charge_page *p = ctx;
    names_add(&p->job, row->view.id.v, row->name);
    weir_vec_push(&p->job.text, weir_strdup(row->tags_json));
    return 0;
}

static int job_json(struct charge_page *p, struct weir_job_id job, struct weir_err *err)
{
    uint64_t at;
    if (job.v != 0 && !weir_map_get(&p->job.at, job.v + 1, &at)) {
        int r = p->store->ops->get_job(p->store, job, on_job, p, err);
        if (r < 0) {
            return r;
        }
    }
    bool known = job.v != 0 && weir_map_get(&p->job.at, job.v + 1, &at);
    weir_json_kv_id(&p->j, "job", job.v);
    weir_json_kv_cstr(&p->j, "job_name", known ? p->job.text.p[at] : NULL);
    weir_json_key(&p->j, "tags");
    weir_json_raw(&p->j, weir_sv_of(known && p->job.text.p[at + 1][0] != '\0' ? p->job.text.p[at + 1] : "{}"));
    return 0;
}

static bool is_wanted(const char *only, const char *name)
{
    return only == NULL || (name != NULL && weir_streq(only, name));
}

static int charge_json(struct charge_page *p, const struct weir_charge *c, struct weir_err *err)
{
    struct weir_json *j = &p->j;
    const char *project = c->project.v == 0 ? NULL : names_get(&p->project, c->project.v);
    const char *user = c->user.v == 0 ? NULL : names_get(&p->user, c->user.v);
    if (!weir_project_set_has(p->within, c->project) || !is_wanted(p->only_project, project) || !is_wanted(p->only_user, user)) {
        return 0;
    }
    weir_json_object(j);
    weir_json_kv_time(j, "from", c->from);
    weir_json_kv_time(j, "to", c->to);
    weir_json_kv_time(j, "late", c->late);
    weir_json_kv_cstr(j, "account", weir_account_name(c->account));
    weir_json_kv_id(j, "rule", c->rule);
    weir_json_kv_cstr(j, "spread_by", c->rule == 0 ? NULL : names_get(&p->spread, c->rule));
    weir_json_kv_i64(j, "amount_micro", c->amount_micro);
    weir_json_kv_cstr(j, "original_currency", c->currency[0] == '\0' ? NULL : c->currency);
    weir_json_kv_i64(j, "original_micro", c->original_micro);
    weir_json_kv_i64(j, "held_us", c->held_us);
    weir_json_kv_u64(j, "gpu_us", c->gpu_us);
    api_footprint_json(j, &c->footprint);
    weir_json_kv_u64(j, "node", c->node.v);
    weir_json_kv_cstr(j, "node_name", api_node_name(&p->nodes, c->node.v));
    weir_json_kv_id(j, "lease", c->lease.v);
    weir_json_kv_cstr(j, "pool", names_get(&p->pool, c->pool.v));
    weir_json_kv_cstr(j, "project", project);
    weir_json_kv_cstr(j, "user", user);
    int r = job_json(p, c->job, err);
    weir_json_kv_cstr(j, "currency", p->api->conf.currency);
    weir_json_end(j);
    return r;
}

static int write_rows(struct charge_page *p, const struct weir_charges *charges, struct weir_err *err)
{
    const struct weir_store_ops *ops = p->store->ops;
    size_t n;
    const struct weir_charge *row = weir_charges_rows(charges, &n);
    int r = ops->each_project(p->store, on_project, &p->project, err);
    r = r < 0 ? r : ops->each_user(p->store, on_name, &p->user, err);
    r = r < 0 ? r : ops->each_pool(p->store, on_name, &p->pool, err);
    r = r < 0 ? r : ops->each_rule(p->store, on_rule, &p->spread, err);
    r = r < 0 ? r : api_node_names_load(p->store, &p->nodes, err);
    for (size_t i = 0; i < n && r == 0; i++) {
        if (row[i].amount_micro != 0 || row[i].gpu_us != 0 || row[i].footprint.energy_mj != 0) {
            r = charge_json(p, &row[i], err);
        }
    }
    return r;
}

static int charges(struct api_call *call, struct weir_str *out, struct weir_err *err)
{
    const struct api_value *to = api_call_param(call, "to");
    struct weir_wall from = api_call_param(call, "from")->time;
    struct weir_dur period = {api_call_param(call, "hourly")->flag ? WEIR_US_PER_HOUR : WEIR_US_PER_DAY};
    struct charge_scan scan = {.last = api_call_param(call, "cursor")->number};
    unsigned which;
    struct charge_page p = {.api = call->api, .store = api_reader_take(call->api, &which), .j = weir_json_begin(out)};
    struct weir_project_set own;
    p.within = api_within(call->reach, &call->who, &own);
    p.only_project = call->name[0] == '\0' ? NULL : call->name;
    p.only_user = call->filter_user[0] == '\0' ? NULL : call->filter_user;
    scan.charges = weir_charges_new(from, to->is_given ? to->time : WEIR_WALL_MAX, period);
    int r = p.store->ops->each_close(p.store, on_close, &scan, err);
    if (api_call_param(call, "view")->number == VIEW_PRICE) {
        weir_charges_priced(scan.charges);
    }
    weir_charges_closed(scan.charges, (struct weir_closes){scan.closes.p, scan.closes.n});
    if (r == 0 && scan.last == 0) {
        r = p.store->ops->first_posting(p.store, from, &scan.last, err);
        scan.last -= scan.last > 0 ? 1 : 0;
    }
    r = r < 0 ? r : p.store->ops->each_posting(p.store, scan.last, on_posting, &scan, err);
    weir_json_object(&p.j);
    weir_json_key(&p.j, "items");
    weir_json_array(&p.j);
    r = r < 0 ? r : write_rows(&p, scan.charges, err);
    api_list_end(&p.j, scan.more, scan.last);
    api_reader_put(call->api, which);
    weir_charges_free(scan.charges);
    weir_vec_release(&scan.closes);
    names_release(&p.project);
    names_release(&p.user);
    names_release(&p.pool);
    names_release(&p.job);
    names_release(&p.spread);
    api_node_names_release(&p.nodes);
    return r;
}

static void charges_finish(struct api_call *call)
{
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    int rc = charges(call, &out, &err);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(call->http, rc, &err);
        return;
    }
    api_reply(call->http, 200, &out);
}

static void charges_settled(struct api_call *call)
{
    api_price(call, (struct weir_wall){0}, charges_finish);
}

void api_handle_charges(struct api_request *rq)
{
    const struct api_value *from = api_param(rq, "from");
    const struct api_value *to = api_param(rq, "to");
    if (to->is_given && to->time.us <= from->time.us) {
        api_fail(rq->http, weir_fail(&rq->err, -WEIR_EINVAL, "to is not after from"), &rq->err);
        return;
    }
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_SETTLE);
    call->lane = API_LANE_SLOW;
    call->finish = charges_finish;
    (void)snprintf(call->name, sizeof call->name, "%s", api_text(rq, "project") == NULL ? "" : api_text(rq, "project"));
    (void)snprintf(call->filter_user, sizeof call->filter_user, "%s",
                   api_text(rq, "user") == NULL ? "" : api_text(rq, "user"));
    for (size_t i = 0; i < API_PARAMS_MAX; i++) {
        call->value[i].text = NULL; /* borrowed from the request */
    }
    if (api_number(rq, "view", 0) == VIEW_PRICE && api_number(rq, "cursor", 0) == 0) {
        call->finish = charges_settled;
    }
    if (api_number(rq, "cursor", 0) == 0) {
        api_call_post(call); /* so that it is complete; what is posted meanwhile stands behind what was read */
    } else {
        api_call_defer(call);
    }
}
