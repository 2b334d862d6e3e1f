/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Closing months. The deciding thread says which posting is the last that counts; only then, on the slow lane, what was
 * billed in the month is added up and digested, and kept beside the close. Where that was cut off, the close holds, and
 * asking for it again takes its sums.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "bill/close.h"
#include "net/digest.h"
#include "net/gnutls_lib.h"

enum { BLOCK_BYTES_MAX = 65536, LINE_BYTES_MAX = 512 };

/* ---- proof ---- */

/* A month, as it was kept and as the ledger says now. */
struct month {
    struct weir_close_row row; /* without its zone and user */
    struct weir_close_sums sums;
    char digest[WEIR_SHA256_HEX_SIZE];
    struct weir_str block; /* the digest so far, and what comes behind it */
};

struct api_close_proof {
    WEIR_VEC(struct month) months;
    WEIR_VEC(struct weir_close) closes;
    char last_zone[API_ZONE_NAME_MAX + 1];
};

static int on_close(void *ctx, const struct weir_close_row *row)
{
    struct api_close_proof *p = ctx;
    struct month m = {.row = *row, .block = WEIR_STR_INIT(BLOCK_BYTES_MAX)};
    m.row.zone = NULL; /* borrowed by the row */
    m.row.who = NULL;
    weir_vec_push(&p->months, m);
    weir_vec_push(&p->closes, row->close);
    (void)snprintf(p->last_zone, sizeof p->last_zone, "%s", row->zone);
    return 0;
}

int api_close_proof_new(struct api_close_proof **ret, struct weir_store *s, struct weir_err *err)
{
    *ret = weir_alloc(sizeof **ret);
    int r = weir_gnutls_init(err);
    return r < 0 ? r : s->ops->each_close(s, on_close, *ret, err);
}

void api_close_proof_free(struct api_close_proof *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->months.n; i++) {
        weir_str_release(&p->months.p[i].block);
    }
    weir_vec_release(&p->months);
    weir_vec_release(&p->closes);
    free(p);
}

static void end_block(struct month *m)
{
    weir_sha256_hex(weir_str_sv(&m->block), m->digest);
    weir_str_clear(&m->block);
    weir_str_adds(&m->block, m->digest);
}

static void on_part(void *ctx, size_t close, const struct weir_posting *row, const struct weir_close_sums *part)
{
    struct api_close_proof *p = ctx;
    struct month *m = &p->months.p[close];
    weir_close_sums_add(&m->sums, part);
    weir_posting_line(row, &m->block);
    if (m->block.n > BLOCK_BYTES_MAX - LINE_BYTES_MAX) {
        end_block(m);
    }
}

void api_close_proof_add(struct api_close_proof *p, const struct weir_posting *row)
{
    struct weir_closes c = {p->closes.p, p->closes.n};
    weir_closes_add(&c, row, on_part, p);
}

uint64_t api_close_proof_end(struct api_close_proof *p, struct weir_err *err)
{
    uint64_t good = 0;
    bool failed = false;
    for (size_t i = 0; i < p->months.n; i++) {
        struct month *m = &p->months.p[i];
        bool same = weir_close_sums_eq(&m->sums, &m->row.sums);
        end_block(m);
        if (same && weir_streq(m->digest, m->row.digest)) {
            good++;
        } else if (!failed) {
            char was[WEIR_MONEY_SIZE];
            char is[WEIR_MONEY_SIZE];
            failed = true;
            if (m->row.digest[0] == '\0') {
                (void)weir_fail(err, -WEIR_ECORRUPT, "%s was closed, but its sums were not kept: run 'weir bill close %s' again",
                                m->row.month, m->row.month);
            } else {
                (void)weir_fail(err, -WEIR_ECORRUPT,
                                "%s is not as it was closed: its cost was %s in %" PRIu64 " postings, now %s in %" PRIu64 "%s",
                                m->row.month, weir_money_format(m->row.sums.cost_micro, was), m->row.sums.postings,
                                weir_money_format(m->sums.cost_micro, is), m->sums.postings,
                                same ? "; the postings are others, or were changed" : "");
            }
        }
    }
    return good;
}

/* ---- one more ---- */

struct ask {
    char month[8];
    char zone[API_ZONE_NAME_MAX + 1]; /* "": that of the last close */
    struct weir_date first;
    struct weir_close close;
};

static void close_json(struct weir_json *j, const struct weir_close_row *row, const char *currency)
{
    weir_json_object(j);
    weir_json_kv_u64(j, "id", row->id);
    weir_json_kv_cstr(j, "month", row->month);
    weir_json_kv_cstr(j, "zone", row->zone);
    weir_json_kv_time(j, "from", row->close.from);
    weir_json_kv_time(j, "to", row->close.to);
    weir_json_kv_time(j, "closed", row->at);
    weir_json_kv_cstr(j, "user", row->who);
    weir_json_kv_u64(j, "last_posting", row->close.last_posting);
    weir_json_kv_u64(j, "postings", row->sums.postings);
    weir_json_kv_u64(j, "gpu_hours_milli", (row->sums.gpu_us + WEIR_US_PER_HOUR / 2000) / (WEIR_US_PER_HOUR / 1000));
    weir_json_kv_i64(j, "cost_micro", row->sums.cost_micro);
    weir_json_kv_i64(j, "used_micro", row->sums.used_micro);
    weir_json_kv_i64(j, "idle_micro", row->sums.idle_micro);
    weir_json_kv_i64(j, "waste_micro", row->sums.waste_micro);
    weir_json_kv_i64(j, "price_micro", row->sums.price_micro);
    weir_json_kv_cstr(j, "currency", currency);
    weir_json_kv_cstr(j, "digest", row->digest[0] == '\0' ? NULL : row->digest);
    weir_json_end(j);
}

static void sealed(struct api_call *call)
{
    struct weir_str out = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&out);
    close_json(&j, &call->cmd.u.close.row, call->api->conf.currency);
    api_reply(call->http, 201, &out);
}

static int on_posting(void *ctx, const struct weir_posting *row)
{
    api_close_proof_add(ctx, row);
    return 0;
}

/* Adds up what was billed in the month that was just closed. */
static int add_up(struct weir_api *api, struct weir_close_row *row, struct weir_err *err)
{
    unsigned which;
    uint64_t first = 0;
    struct api_close_proof *p = NULL;
    struct weir_store *s = api_reader_take(api, &which);
    int r = api_close_proof_new(&p, s, err);
    r = r < 0 ? r : s->ops->first_posting(s, row->close.from, &first, err);
    r = r < 0 ? r : s->ops->each_posting(s, first > 0 ? first - 1 : 0, on_posting, p, err);
    api_reader_put(api, which);
    for (size_t i = 0; i < p->months.n && r == 0; i++) {
        struct month *m = &p->months.p[i];
        if (m->row.id == row->id) {
            end_block(m);
            row->sums = m->sums;
            memcpy(row->digest, m->digest, sizeof row->digest);
        }
    }
    api_close_proof_free(p);
    return r;
}

static void seal(struct api_call *call, const struct weir_close_row *row)
{
    struct weir_err err = {{0}};
    struct api_call *next = api_call_follow(call, WEIR_COMMAND_CLOSE);
    next->data = call->data; /* holds the zone's name */
    call->data = NULL;
    next->finish = sealed;
    next->cmd.u.close.seal = true;
    next->cmd.u.close.row = *row;
    next->cmd.u.close.row.zone = ((struct ask *)next->data)->zone;
    next->cmd.u.close.row.who = next->who.user;
    int r = add_up(call->api, &next->cmd.u.close.row, &err);
    if (r < 0) {
        api_fail(call->http, r, &err);
        api_call_free(next);
        return;
    }
    api_call_post(next);
}

static void closed(struct api_call *call)
{
    seal(call, &call->cmd.u.close.row);
}

/* Was something booked for the time before t? */
static int on_early_posting(void *ctx, const struct weir_posting *row)
{
    struct weir_wall *t = ctx; /* in: the month's beginning; out: that of what was found */
    if (row->from.us < t->us) {
        *t = row->from;
        return 1;
    }
    return 0;
}

/* Which month it is, and whether it is the next. *ret_open: what was closed and waits for its sums; id 0: nothing. */
static int prepare(struct weir_api *api, struct ask *a, struct weir_close_row *row, struct weir_close_row *ret_open, struct weir_err *err)
{
    unsigned which;
    struct api_close_proof *p = NULL;
    struct weir_store *s = api_reader_take(api, &which);
    int r = api_close_proof_new(&p, s, err);
    if (r == 0 && a->zone[0] == '\0') {
        (void)snprintf(a->zone, sizeof a->zone, "%s", p->months.n > 0 ? p->last_zone : "UTC");
    }
    WEIR_CLEANUP(weir_zone_freep) struct weir_zone *zone = NULL;
    r = r < 0 ? r : weir_zone_load(&zone, a->zone, err);
    if (r == 0) {
        memcpy(row->month, a->month, sizeof row->month);
        row->close.from = weir_zone_to_wall(zone, a->first);
        row->close.to = weir_zone_to_wall(zone, weir_date_next_month(a->first));
    }
    if (r == 0 && p->months.n == 0) {
        struct weir_wall early = row->close.from;
        r = s->ops->each_posting(s, 0, on_early_posting, &early, err);
        r = r > 0 ? 0 : r;
        if (early.us < row->close.from.us) {
            char buf[WEIR_RFC3339_SIZE];
            r = weir_fail(err, -WEIR_ECONFLICT, "%s cannot be closed: the ledger begins at %s, and that month comes first", a->month,
                          weir_wall_format(early, buf));
        }
    }
    api_reader_put(api, which);
    for (size_t i = 0; i < p->months.n && r == 0; i++) {
        const struct weir_close_row *have = &p->months.p[i].row;
        if (have->close.from.us == row->close.from.us && have->close.to.us == row->close.to.us && have->digest[0] == '\0') {
            *ret_open = *have;
        }
    }
    api_close_proof_free(p);
    return r;
}

/* All that was used is booked and has its price. */
static void priced(struct api_call *call)
{
    struct ask *a = call->data;
    struct api_call *next = api_call_follow(call, WEIR_COMMAND_CLOSE);
    next->finish = closed;
    next->data = a;
    call->data = NULL;
    memcpy(next->cmd.u.close.row.month, a->month, sizeof a->month);
    next->cmd.u.close.row.close = a->close;
    next->cmd.u.close.row.zone = a->zone;
    next->cmd.u.close.row.who = next->who.user;
    api_call_post(next);
}

static void settled(struct api_call *call)
{
    api_price(call, ((struct ask *)call->data)->close.to, priced);
}

static void prepared(struct api_call *call)
{
    struct weir_err err = {{0}};
    struct weir_close_row row = {0};
    struct weir_close_row open = {0};
    int r = prepare(call->api, call->data, &row, &open, &err);
    if (r < 0) {
        api_fail(call->http, r, &err);
        return;
    }
    if (open.id != 0) {
        seal(call, &open);
        return;
    }
    struct api_call *next = api_call_follow(call, WEIR_COMMAND_SETTLE);
    next->finish = settled;
    next->data = call->data;
    call->data = NULL;
    ((struct ask *)next->data)->close = row.close;
    api_call_post(next);
}

static int read_ask(const json_t *body, struct ask *a, struct weir_err *err)
{
    const char *zone = json_string_value(json_object_get(body, "zone"));
    int r = weir_parse_month(weir_sv_of(json_string_value(json_object_get(body, "month"))), &a->first, err);
    if (r < 0) {
        return weir_fail_prefix(err, r, "month");
    }
    if (zone != NULL && (zone[0] == '\0' || strlen(zone) > API_ZONE_NAME_MAX)) {
        return weir_fail(err, -WEIR_EINVAL, "zone: a name of 1 to %d bytes, like Europe/Berlin", API_ZONE_NAME_MAX);
    }
    (void)snprintf(a->month, sizeof a->month, "%04u-%02u", (unsigned)a->first.year % 10000, (unsigned)a->first.month % 100);
    (void)snprintf(a->zone, sizeof a->zone, "%s", zone == NULL ? "" : zone);
    return 0;
}

void api_handle_close(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_CLOSE);
    call->data = weir_alloc(sizeof(struct ask));
    call->lane = API_LANE_SLOW;
    call->finish = prepared;
    call->body = api_body(rq);
    int rc = call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("CloseMonth"), call->body, &rq->err);
    rc = rc < 0 ? rc : read_ask(call->body, call->data, &rq->err);
    if (rc < 0) {
        api_fail(rq->http, rc, &rq->err);
        api_call_free(call);
        return;
    }
    api_call_defer(call);
}

/* ---- all of them ---- */

struct close_page {
    struct weir_json j;
    const char *currency;
    uint64_t cursor;
    uint64_t limit;
    uint64_t n;
    uint64_t last;
    bool more;
};

static int on_listed(void *ctx, const struct weir_close_row *row)
{
    struct close_page *p = ctx;
    if (row->id <= p->cursor) {
        return 0;
    }
    if (p->n == p->limit) {
        p->more = true;
        return 1;
    }
    close_json(&p->j, row, p->currency);
    p->last = row->id;
    p->n++;
    return 0;
}

void api_handle_closes(struct api_request *rq)
{
    unsigned which;
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct close_page p = {.j = weir_json_begin(&out),
                           .currency = rq->api->conf.currency,
                           .cursor = api_number(rq, "cursor", 0),
                           .limit = api_number(rq, "limit", API_LIST_LIMIT)};
    struct weir_store *s = api_reader_take(rq->api, &which);
    weir_json_object(&p.j);
    weir_json_key(&p.j, "items");
    weir_json_array(&p.j);
    int rc = s->ops->each_close(s, on_listed, &p, &rq->err);
    api_reader_put(rq->api, which);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(rq->http, rc, &rq->err);
        return;
    }
    api_list_end(&p.j, p.more, p.last);
    api_reply(rq->http, 200, &out);
}
