/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Corrections from outside. What they are spread over is read from the ledger on the slow lane, after it was settled;
 * then the deciding thread posts them, unless another correction came in between: that one is seen by its number.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/parse.h"
#include "bill/amend.h"

enum { REASON_BYTES_MAX = 500 };

static const char *const kinds[] = {"credit", "charge", "reconcile"};

const char *api_correction_word(unsigned i)
{
    return kinds[i];
}

static void correction_json(struct weir_json *j, const struct weir_correction_row *row, const char *currency)
{
    weir_json_object(j);
    weir_json_kv_u64(j, "id", row->id);
    weir_json_kv_time(j, "at", row->at);
    weir_json_kv_cstr(j, "kind", row->kind);
    weir_json_kv_i64(j, "amount_micro", row->micro);
    weir_json_kv_cstr(j, "currency", currency);
    weir_json_kv_cstr(j, "user", row->who);
    weir_json_kv_cstr(j, "reason", row->reason);
    weir_json_end(j);
}

/* ---- one more ---- */

struct ask {
    enum { CREDIT, CHARGE } kind;
    int64_t micro; /* > 0 */
    uint64_t job;  /* one of the three */
    uint64_t lease;
    uint64_t node;
    struct weir_wall from;
    struct weir_wall to;
    char reason[REASON_BYTES_MAX + 1];
};

static int read_time(const json_t *body, const char *key, struct weir_wall *ret, struct weir_err *err)
{
    const char *text = json_string_value(json_object_get(body, key));
    int r = text == NULL ? 0 : weir_parse_time(weir_sv_of(text), ret, err);
    return r < 0 ? weir_fail_prefix(err, r, "%s", key) : 0;
}

static int read_ask(const json_t *body, const char *currency, struct ask *a, struct weir_err *err)
{
    const char *kind = json_string_value(json_object_get(body, "kind"));
    const char *reason = json_string_value(json_object_get(body, "reason"));
    if (!weir_streq(kind, kinds[CREDIT]) && !weir_streq(kind, kinds[CHARGE])) {
        return weir_fail(err, -WEIR_EINVAL, "kind: '%.20s' is neither credit nor charge", kind);
    }
    if (strlen(reason) == 0 || strlen(reason) > REASON_BYTES_MAX || !weir_utf8_is_text(weir_sv_of(reason))) {
        return weir_fail(err, -WEIR_EINVAL, "reason: text of 1 to %d bytes: it is what an auditor will read",
                         REASON_BYTES_MAX);
    }
    *a = (struct ask){.kind = weir_streq(kind, kinds[CREDIT]) ? CREDIT : CHARGE, .to = WEIR_WALL_MAX};
    (void)snprintf(a->reason, sizeof a->reason, "%s", reason);
    a->job = (uint64_t)json_integer_value(json_object_get(body, "job"));
    a->lease = (uint64_t)json_integer_value(json_object_get(body, "lease"));
    a->node = (uint64_t)json_integer_value(json_object_get(body, "node"));
    if ((a->job != 0) + (a->lease != 0) + (a->node != 0) != 1) {
        return weir_fail(err, -WEIR_EINVAL, "give one of job, lease and node: what is to be corrected");
    }
    int r = weir_parse_money_in(weir_sv_of(json_string_value(json_object_get(body, "amount"))), currency, &a->micro, err);
    if (r < 0 || a->micro <= 0) {
        return r < 0 ? weir_fail_prefix(err, r, "amount")
                     : weir_fail(err, -WEIR_EINVAL, "amount: it must be above 0; a credit takes it back");
    }
    r = read_time(body, "from", &a->from, err);
    r = r < 0 ? r : read_time(body, "to", &a->to, err);
    if (r == 0 && a->to.us <= a->from.us) {
        r = weir_fail(err, -WEIR_EINVAL, "to is not after from");
    }
    return r;
}

struct ask_scan {
    const struct ask *ask;
    struct weir_charges *charges;
};

static int on_posting(void *ctx, const struct weir_posting *p)
{
    struct ask_scan *s = ctx;
    const struct ask *a = s->ask;
    if ((a->job == 0 || p->run.task.job.v == a->job) && (a->lease == 0 || p->lease.v == a->lease) &&
        (a->node == 0 || p->node.v == a->node)) {
        weir_charges_add(s->charges, p);
    }
    return 0;
}

static int on_correction_id(void *ctx, const struct weir_correction_row *row)
{
    *(uint64_t *)ctx = row->id;
    return 0;
}

int api_next_correction(struct weir_store *s, uint64_t *ret, struct weir_err *err)
{
    uint64_t last = 0;
    int r = s->ops->each_correction(s, 0, on_correction_id, &last, err);
    *ret = last + 1;
    return r;
}

static int on_payer_of_job(void *ctx, const struct weir_job_row *row)
{
    *(struct weir_payer_id *)ctx = row->view.payer;
    return 0;
}

static int on_payer_of_lease(void *ctx, const struct weir_lease_row *row)
{
    weir_map_put(ctx, row->view.id.v, row->view.payer.v);
    return 0;
}

int api_find_payers(struct weir_store *s, struct weir_amendment *part, size_t n, struct weir_err *err)
{
    struct weir_map of_lease = {0};
    int r = s->ops->each_lease(s, true, on_payer_of_lease, &of_lease, err);
    for (size_t i = 0; i < n && r == 0; i++) {
        uint64_t payer = 0;
        if (part[i].where.job.v != 0) {
            r = s->ops->get_job(s, part[i].where.job, on_payer_of_job, &part[i].payer, err);
            r = r == -WEIR_ENOTFOUND ? 0 : r; /* it is long gone, and so is its budgets' span */
        } else if (weir_map_get(&of_lease, part[i].where.lease.v, &payer)) {
            part[i].payer.v = (uint32_t)payer;
        }
    }
    weir_map_release(&of_lease);
    return r;
}

static int on_job_there(void *ctx, const struct weir_job_row *row)
{
    (void)ctx;
    (void)row;
    return 0;
}

static int on_lease_there(void *ctx, const struct weir_lease_row *row)
{
    (void)ctx;
    (void)row;
    return 0;
}

static int on_node(void *ctx, const struct weir_node_row *row)
{
    return row->view.spec.id.v == *(const uint64_t *)ctx ? 1 : 0;
}

/* Whether what is to be corrected is there at all. */
static int check_object(struct weir_store *s, const struct ask *a, struct weir_err *err)
{
    int r = a->job != 0   ? s->ops->get_job(s, (struct weir_job_id){a->job}, on_job_there, NULL, err)
            : a->lease != 0 ? s->ops->get_lease(s, (struct weir_lease_id){a->lease}, on_lease_there, NULL, err)
                            : s->ops->each_node(s, true, on_node, (void *)(uintptr_t)&a->node, err);
    bool is_missing = r == -WEIR_ENOTFOUND || (a->node != 0 && r == 0);
    if (is_missing) {
        return weir_fail(err, -WEIR_ENOTFOUND, "%s %" PRIu64 " does not exist", a->job != 0 ? "job" : a->lease != 0 ? "lease" : "node",
                         a->job != 0 ? a->job : a->lease != 0 ? a->lease : a->node);
    }
    return r < 0 ? r : 0;
}

/* What it is spread over, and the number it will have. */
static int spread(struct weir_api *api, const struct ask *a, struct weir_command *cmd, struct weir_err *err)
{
    unsigned which;
    size_t n;
    uint64_t first = 0;
    struct weir_store *s = api_reader_take(api, &which);
    struct ask_scan scan = {a, weir_charges_new(a->from, a->to, WEIR_DUR_MAX)};
    int r = check_object(s, a, err);
    r = r < 0 ? r : api_next_correction(s, &cmd->u.amend.row.id, err);
    r = r < 0 ? r : s->ops->first_posting(s, a->from, &first, err);
    r = r < 0 ? r : s->ops->each_posting(s, first > 0 ? first - 1 : 0, on_posting, &scan, err);
    if (r == 0) {
        const struct weir_charge *row = weir_charges_rows(scan.charges, &n);
        cmd->u.amend.row.micro = a->kind == CREDIT ? -a->micro : a->micro;
        r = weir_amend_spread(row, n, cmd->u.amend.row.micro, &cmd->u.amend.part, &cmd->u.amend.n, err);
    }
    r = r < 0 ? r : api_find_payers(s, cmd->u.amend.part, cmd->u.amend.n, err);
    api_reader_put(api, which);
    weir_charges_free(scan.charges);
    return r;
}

static void amend_finish(struct api_call *call)
{
    struct weir_str out = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&out);
    struct weir_correction_row row = call->cmd.u.amend.row;
    row.at = weir_clock_wall(call->api->conf.clock);
    correction_json(&j, &row, call->api->conf.currency);
    api_reply(call->http, 201, &out);
}

static void settled(struct api_call *call)
{
    struct weir_err err = {{0}};
    struct ask *a = call->data;
    struct api_call *next = api_call_follow(call, WEIR_COMMAND_AMEND);
    next->finish = amend_finish;
    next->data = a;
    call->data = NULL;
    next->cmd.u.amend.row.kind = kinds[a->kind];
    next->cmd.u.amend.row.who = next->who.user;
    next->cmd.u.amend.row.reason = a->reason;
    int r = spread(call->api, a, &next->cmd, &err);
    if (r < 0) {
        api_fail(call->http, r, &err);
        api_call_free(next);
        return;
    }
    api_call_post(next);
}

void api_handle_correction_add(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_SETTLE);
    struct ask *a = weir_alloc(sizeof *a);
    call->data = a;
    call->lane = API_LANE_SLOW;
    call->finish = settled;
    call->body = api_body(rq);
    int rc =
        call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("CorrectionAdd"), call->body, &rq->err);
    rc = rc < 0 ? rc : read_ask(call->body, rq->api->conf.currency, a, &rq->err);
    api_call_post_or_fail(rq, call, rc);
}

/* ---- all of them ---- */

struct correction_page {
    struct weir_json j;
    const char *currency;
    uint64_t limit;
    uint64_t n;
    uint64_t last;
    bool more;
};

static int on_correction(void *ctx, const struct weir_correction_row *row)
{
    struct correction_page *p = ctx;
    if (p->n == p->limit) {
        p->more = true;
        return 1;
    }
    correction_json(&p->j, row, p->currency);
    p->last = row->id;
    p->n++;
    return 0;
}

void api_handle_corrections(struct api_request *rq)
{
    unsigned which;
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct correction_page p = {.j = weir_json_begin(&out),
                                .currency = rq->api->conf.currency,
                                .limit = api_number(rq, "limit", API_LIST_LIMIT)};
    struct weir_store *s = api_reader_take(rq->api, &which);
    weir_json_object(&p.j);
    weir_json_key(&p.j, "items");
    weir_json_array(&p.j);
    int rc = s->ops->each_correction(s, api_number(rq, "cursor", 0), on_correction, &p, &rq->err);
    api_reader_put(rq->api, which);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(rq->http, rc, &rq->err);
        return;
    }
    weir_json_end(&p.j);
    weir_json_key(&p.j, "next");
    if (p.more) {
        char next[24];
        (void)snprintf(next, sizeof next, "%" PRIu64, p.last);
        weir_json_cstr(&p.j, next);
    } else {
        weir_json_null(&p.j);
    }
    weir_json_end(&p.j);
    api_reply(rq->http, 200, &out);
}
