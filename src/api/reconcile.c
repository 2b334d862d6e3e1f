/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a provider billed for a lease, against what the ledger has for it. Lines of bills are kept by what makes them
 * the same line in another file, so a file that comes twice, or grows, changes what it changes and nothing else. The
 * difference of a lease is its lines' sum less what is booked for it in the time that they cover; it is spread over who
 * used the machine, day by day.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "bill/amend.h"

enum { LINES_MAX = 5000, LEASES_MAX = 1000, NOTE_BYTES_MAX = 500, NANO_PER_MICRO = 1000, DAYS_MAX = 400 };

/* ---- lines ---- */

static int read_line(const json_t *o, struct weir_invoice_line_row *ret, struct weir_err *err)
{
    const char *from = json_string_value(json_object_get(o, "from"));
    const char *to = json_string_value(json_object_get(o, "to"));
    ret->lease.v = (uint64_t)json_integer_value(json_object_get(o, "lease"));
    ret->nano = json_integer_value(json_object_get(o, "nano"));
    ret->original_nano = json_integer_value(json_object_get(o, "original_nano"));
    const char *currency = json_string_value(json_object_get(o, "currency"));
    if (currency != NULL && strlen(currency) != sizeof ret->currency - 1) {
        return weir_fail(err, -WEIR_EINVAL, "currency: '%.8s' is not a three-letter code", currency);
    }
    (void)snprintf(ret->currency, sizeof ret->currency, "%s", currency == NULL ? "" : currency);
    int r = weir_parse_u64(weir_sv_of(json_string_value(json_object_get(o, "line"))), 0, UINT64_MAX, &ret->line, err);
    r = r < 0 ? r : weir_parse_time(weir_sv_of(from), &ret->from, err);
    r = r < 0 ? r : weir_parse_time(weir_sv_of(to), &ret->to, err);
    if (r == 0 && (ret->to.us < ret->from.us || ret->lease.v == 0)) {
        r = weir_fail(err, -WEIR_EINVAL, "it ends before it begins, or names no lease");
    }
    return r;
}

static void lines_finish(struct api_call *call)
{
    struct weir_err err = {{0}};
    char owner[64] = "";
    unsigned which;
    struct weir_store *s = api_reader_take(call->api, &which);
    int rc = s->ops->get_meta(s, WEIR_META_INSTALLATION, owner, sizeof owner, &err);
    api_reader_put(call->api, which);
    if (rc < 0 && rc != -WEIR_ENOTFOUND) {
        api_fail(call->http, rc, &err);
        return;
    }
    struct weir_str out = WEIR_STR_INIT(4096);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_u64(&j, "stored", call->cmd.u.invoice.n);
    weir_json_kv_cstr(&j, "owner", owner);
    weir_json_kv_cstr(&j, "currency", call->api->conf.currency);
    weir_json_end(&j);
    api_reply(call->http, 200, &out);
}

void api_handle_invoice_lines(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_INVOICE);
    call->lane = API_LANE_SLOW;
    call->finish = lines_finish;
    call->body = api_body(rq);
    int rc =
        call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("InvoiceLines"), call->body, &rq->err);
    const json_t *lines = json_object_get(call->body, "lines");
    size_t n = json_array_size(lines);
    if (rc == 0 && n > LINES_MAX) {
        rc = weir_fail(&rq->err, -WEIR_ELIMIT, "lines: at most %d at a time", LINES_MAX);
    }
    call->cmd.u.invoice.line = weir_calloc(n + 1, sizeof *call->cmd.u.invoice.line);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = read_line(json_array_get(lines, i), &call->cmd.u.invoice.line[i], &rq->err);
        rc = rc < 0 ? weir_fail_prefix(&rq->err, rc, "lines[%zu]", i) : 0;
    }
    call->cmd.u.invoice.n = n;
    api_call_post_or_fail(rq, call, rc);
}

/* ---- differences ---- */

struct billed {
    uint64_t lease;
    uint64_t lines;
    weir_i128 nano;
    weir_i128 original; /* of all lines, where they are in one other currency */
    char currency[4];   /* "": the ledger's, or several */
    struct weir_wall from; /* that the lines cover */
    struct weir_wall to;
    struct weir_wall intent; /* of the lease */
    struct weir_wall ended;
    struct weir_map days;         /* that the lines cover, by their number */
    struct weir_charges *charges; /* what is booked for it there */
    int64_t invoiced_micro;
    int64_t booked_micro;
    int64_t corrected_micro; /* what is posted now */
};

struct comparison {
    WEIR_VEC(struct billed) leases;
    struct weir_map at; /* lease -> index */
    WEIR_VEC(struct weir_amendment) parts;
    char note[NOTE_BYTES_MAX + 1];
};

static void comparison_free(struct comparison *c)
{
    for (size_t i = 0; i < c->leases.n; i++) {
        weir_map_release(&c->leases.p[i].days);
        weir_charges_free(c->leases.p[i].charges);
    }
    weir_vec_release(&c->leases);
    weir_map_release(&c->at);
    weir_vec_release(&c->parts);
    free(c);
}

static int on_line(void *ctx, const struct weir_invoice_line_row *row)
{
    struct billed *b = ctx;
    b->nano += row->nano;
    b->original += row->original_nano;
    if (b->lines == 0) {
        memcpy(b->currency, row->currency, sizeof b->currency);
    } else if (memcmp(b->currency, row->currency, sizeof b->currency) != 0) {
        memset(b->currency, 0, sizeof b->currency);
    }
    b->from = b->lines == 0 || row->from.us < b->from.us ? row->from : b->from;
    b->to = b->lines == 0 || row->to.us > b->to.us ? row->to : b->to;
    b->lines++;
    int64_t last = row->to.us > row->from.us ? row->to.us - 1 : row->from.us;
    for (int64_t day = row->from.us / WEIR_US_PER_DAY, n = 0; day <= last / WEIR_US_PER_DAY && n < DAYS_MAX; day++, n++) {
        weir_map_put(&b->days, (uint64_t)day, 1);
    }
    return 0;
}

/* Is the row's day billed? Before the first line and behind the last there is what open_span has let in. */
static bool is_covered(const struct billed *b, const struct weir_charge *row)
{
    uint64_t ignored;
    return row->to.us <= b->from.us || row->from.us >= b->to.us ||
           weir_map_get(&b->days, (uint64_t)(row->from.us / WEIR_US_PER_DAY), &ignored);
}

static int on_lease(void *ctx, const struct weir_lease_row *row)
{
    struct comparison *c = ctx;
    uint64_t at;
    if (weir_map_get(&c->at, row->view.id.v, &at)) {
        c->leases.p[at].intent = row->view.intent_at;
        c->leases.p[at].ended = row->view.ended_at;
    }
    return 0;
}

static int on_posting(void *ctx, const struct weir_posting *p)
{
    struct comparison *c = ctx;
    uint64_t at;
    if (p->lease.v != 0 && weir_map_get(&c->at, p->lease.v, &at) && c->leases.p[at].charges != NULL) {
        weir_charges_add(c->leases.p[at].charges, p);
    }
    return 0;
}

/* Lines that reach to the lease's ends stand for all of it, also for what the quote's minimum and rounding booked at
 * its end. */
static void open_span(struct billed *b)
{
    struct weir_wall from = b->from.us <= b->intent.us + WEIR_US_PER_HOUR ? (struct weir_wall){0} : b->from;
    struct weir_wall to = b->ended.us != 0 && b->to.us >= b->ended.us - WEIR_US_PER_MIN ? WEIR_WALL_MAX : b->to;
    if (b->lines > 0 && from.us < to.us) {
        b->charges = weir_charges_new(from, to, (struct weir_dur){WEIR_US_PER_DAY});
    }
}

static int64_t round_micro(weir_i128 nano)
{
    weir_i128 up = nano + NANO_PER_MICRO / 2;
    weir_i128 q = up / NANO_PER_MICRO - (up % NANO_PER_MICRO < 0 ? 1 : 0);
    return q > INT64_MAX / 4 ? INT64_MAX / 4 : q < INT64_MIN / 4 ? INT64_MIN / 4 : (int64_t)q;
}

/*
 * What the difference is in the bill's currency: what the lines say in it, less what is booked in it; what is booked in the ledger's
 * alone counts at the rate that the lines have together. Parts by cumulative shares.
 */
static void keep_original(const struct billed *b, const struct weir_charge *booked, size_t n_booked, struct weir_amendment *part, size_t n)
{
    int64_t invoiced = b->invoiced_micro;
    int64_t original = round_micro(b->original);
    int64_t there = 0;
    int64_t plain = 0;
    int64_t plain_original = 0;
    if (b->currency[0] == '\0' || invoiced == 0) {
        return;
    }
    for (size_t i = 0; i < n_booked; i++) {
        bool same = memcmp(booked[i].currency, b->currency, sizeof b->currency) == 0;
        there = weir_i64_add_sat(there, same ? booked[i].original_micro : 0);
        plain = weir_i64_add_sat(plain, same ? 0 : booked[i].amount_micro);
    }
    int64_t difference = weir_i64_sub_sat(invoiced, b->booked_micro);
    int64_t sign = invoiced < 0 ? -1 : 1;
    if (!weir_mul_div(plain, sign * original, sign * invoiced, &plain_original)) {
        return;
    }
    int64_t left = weir_i64_sub_sat(weir_i64_sub_sat(original, there), plain_original);
    int64_t sum = 0;
    int64_t before = 0;
    sign = difference < 0 ? -1 : 1;
    for (size_t i = 0; i < n; i++) {
        int64_t upto = 0;
        sum = weir_i64_add_sat(sum, part[i].micro);
        if (!weir_mul_div(sum, sign * left, sign * difference, &upto)) {
            return;
        }
        memcpy(part[i].currency, b->currency, sizeof part[i].currency);
        part[i].original_micro = upto - before;
        before = upto;
    }
}

/* What cannot be spread stays a residual, which the answer names. */
static void spread(struct comparison *c, struct billed *b)
{
    size_t n = 0;
    const struct weir_charge *row = b->charges == NULL ? NULL : weir_charges_rows(b->charges, &n);
    WEIR_VEC(struct weir_charge) there = {0};
    for (size_t i = 0; i < n; i++) {
        if (is_covered(b, &row[i])) {
            weir_vec_push(&there, row[i]);
            b->booked_micro = weir_i64_add_sat(b->booked_micro, row[i].amount_micro);
        }
    }
    b->invoiced_micro = round_micro(b->nano);
    int64_t difference = weir_i64_sub_sat(b->invoiced_micro, b->booked_micro);
    struct weir_amendment *part = NULL;
    size_t n_parts = 0;
    if (difference != 0 && b->lines > 0 && weir_amend_spread(there.p, there.n, difference, &part, &n_parts, NULL) == 0) {
        b->corrected_micro = difference;
        keep_original(b, there.p, there.n, part, n_parts);
        for (size_t i = 0; i < n_parts; i++) {
            weir_vec_push(&c->parts, part[i]);
        }
    }
    free(part);
    weir_vec_release(&there);
}

static int compare(struct weir_api *api, struct comparison *c, uint64_t *ret_correction, struct weir_err *err)
{
    unsigned which;
    uint64_t first = 0;
    struct weir_wall since = WEIR_WALL_MAX;
    struct weir_store *s = api_reader_take(api, &which);
    int r = api_next_correction(s, ret_correction, err);
    r = r < 0 ? r : s->ops->each_lease(s, true, on_lease, c, err);
    for (size_t i = 0; i < c->leases.n && r == 0; i++) {
        struct billed *b = &c->leases.p[i];
        r = s->ops->each_invoice_line(s, (struct weir_lease_id){b->lease}, on_line, b, err);
        open_span(b);
        since = b->intent.us < since.us ? b->intent : since;
    }
    r = r < 0 ? r : s->ops->first_posting(s, since, &first, err);
    r = r < 0 ? r : s->ops->each_posting(s, first > 0 ? first - 1 : 0, on_posting, c, err);
    for (size_t i = 0; i < c->leases.n && r == 0; i++) {
        spread(c, &c->leases.p[i]);
    }
    r = r < 0 ? r : api_find_payers(s, c->parts.p, c->parts.n, err);
    api_reader_put(api, which);
    return r;
}

static void answer(struct api_call *call, const struct comparison *c, uint64_t correction)
{
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_id(&j, "correction", correction);
    weir_json_kv_cstr(&j, "currency", call->api->conf.currency);
    weir_json_key(&j, "leases");
    weir_json_array(&j);
    for (size_t i = 0; i < c->leases.n; i++) {
        const struct billed *b = &c->leases.p[i];
        weir_json_object(&j);
        weir_json_kv_u64(&j, "lease", b->lease);
        weir_json_kv_u64(&j, "lines", b->lines);
        weir_json_kv_i64(&j, "invoiced_micro", b->invoiced_micro);
        weir_json_kv_cstr(&j, "billed_currency", b->currency[0] == '\0' ? NULL : b->currency);
        weir_json_kv_i64(&j, "billed_micro", b->currency[0] == '\0' ? 0 : round_micro(b->original));
        weir_json_kv_i64(&j, "booked_micro", b->booked_micro);
        weir_json_kv_i64(&j, "corrected_micro", b->corrected_micro);
        weir_json_kv_i64(&j, "residual_micro",
                         b->lines == 0 ? 0 : b->invoiced_micro - b->booked_micro - b->corrected_micro);
        weir_json_end(&j);
    }
    weir_json_end(&j);
    weir_json_end(&j);
    api_reply(call->http, 200, &out);
}

static void amend_finish(struct api_call *call)
{
    struct comparison *c = call->cmd.ctx;
    answer(call, c, call->cmd.u.amend.row.id);
    comparison_free(c);
}

/* A refused correction leaves nothing behind. */
static void amend_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    if (cmd->code < 0) {
        comparison_free(cmd->ctx);
        api_fail(call->http, cmd->code, &cmd->err);
        api_call_free(call);
        return;
    }
    api_call_defer(call);
}

static void settled(struct api_call *call)
{
    struct weir_err err = {{0}};
    struct comparison *c = call->cmd.ctx;
    uint64_t correction = 0;
    int r = compare(call->api, c, &correction, &err);
    if (r < 0 || c->parts.n == 0) {
        if (r < 0) {
            api_fail(call->http, r, &err);
        } else {
            answer(call, c, 0);
        }
        comparison_free(c);
        return;
    }
    int64_t sum = 0;
    struct api_call *next = api_call_follow(call, WEIR_COMMAND_AMEND);
    for (size_t i = 0; i < c->parts.n; i++) {
        sum = weir_i64_add_sat(sum, c->parts.p[i].micro);
    }
    next->cmd.u.amend.row = (struct weir_correction_row){
        .id = correction, .kind = api_correction_word(2), .who = next->who.user, .reason = c->note, .micro = sum};
    next->cmd.u.amend.n = c->parts.n;
    next->cmd.u.amend.part = c->parts.p;
    c->parts.p = NULL; /* the call's now */
    c->parts.n = 0;
    next->cmd.ctx = c;
    next->cmd.done = amend_done;
    next->finish = amend_finish;
    api_call_post(next);
}

static int read_leases(const json_t *body, struct comparison *c, struct weir_err *err)
{
    const json_t *leases = json_object_get(body, "leases");
    const char *note = json_string_value(json_object_get(body, "reason"));
    if (json_array_size(leases) == 0 || json_array_size(leases) > LEASES_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "leases: 1 to %d at a time", LEASES_MAX);
    }
    if (strlen(note) == 0 || strlen(note) > NOTE_BYTES_MAX || !weir_utf8_is_text(weir_sv_of(note))) {
        return weir_fail(err, -WEIR_EINVAL, "reason: text of 1 to %d bytes: which bill it is", NOTE_BYTES_MAX);
    }
    (void)snprintf(c->note, sizeof c->note, "%s", note);
    for (size_t i = 0; i < json_array_size(leases); i++) {
        uint64_t id = (uint64_t)json_integer_value(json_array_get(leases, i));
        uint64_t at;
        if (!weir_map_get(&c->at, id, &at)) {
            weir_map_put(&c->at, id, c->leases.n);
            weir_vec_push(&c->leases, (struct billed){.lease = id});
        }
    }
    return 0;
}

void api_handle_reconcile(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_SETTLE);
    struct comparison *c = weir_alloc(sizeof *c);
    call->lane = API_LANE_SLOW;
    call->finish = settled;
    call->cmd.ctx = c;
    call->cmd.done = amend_done;
    call->body = api_body(rq);
    int rc = call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("Reconcile"), call->body, &rq->err);
    rc = rc < 0 ? rc : read_leases(call->body, c, &rq->err);
    if (rc < 0) {
        api_fail(rq->http, rc, &rq->err);
        comparison_free(c);
        api_call_free(call);
        return;
    }
    api_call_post(call);
}

/* ---- what became of a reconciliation ---- */

/* Lines that bear our tag and that no lease has; NULL: there are none. */
static const char *suspects_text(const json_t *body, char *buf, size_t size)
{
    size_t i;
    json_t *name;
    const json_t *list = json_object_get(body, "leak_suspects");
    struct weir_str s = WEIR_STR_INIT(size);
    json_array_foreach(list, i, name)
    {
        weir_str_addf(&s, "%s%.128s", i == 0 ? "" : ", ", json_string_value(name));
    }
    (void)snprintf(buf, size, "%.64s bears our tag for %zu resource%s that no lease has: %s", json_string_value(json_object_get(body, "reason")),
                   json_array_size(list), json_array_size(list) == 1 ? "" : "s", weir_str_cstr(&s));
    weir_str_release(&s);
    return json_array_size(list) == 0 ? NULL : buf;
}

static const char *failure_text(const json_t *body, const char *currency, char *buf, size_t size)
{
    const char *error = json_string_value(json_object_get(body, "error"));
    const char *file = json_string_value(json_object_get(body, "reason"));
    int64_t residual = json_integer_value(json_object_get(body, "residual_micro"));
    char money[WEIR_MONEY_SIZE];
    if (error != NULL) {
        (void)snprintf(buf, size, "%.128s could not be reconciled: %.200s", file, error);
    } else {
        (void)snprintf(buf, size, "%.128s: a residual of %s %s remains", file, weir_money_format_short(residual, currency, money), currency);
    }
    return error != NULL || residual != 0 ? buf : NULL;
}

static void outcome_finish(struct api_call *call)
{
    char text[400];
    struct weir_str out = WEIR_STR_INIT(1024);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "reason", json_string_value(json_object_get(call->body, "reason")));
    weir_json_end(&j);
    api_finding(call, WEIR_FINDING_LEAK, call->cmd.u.finding.name, suspects_text(call->body, text, sizeof text), &out);
}

void api_handle_reconcile_outcome(struct api_request *rq)
{
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_FINDING);
    const char *wrong = NULL;
    call->finish = outcome_finish;
    call->body = api_body(rq);
    int rc = call->body == NULL ? -WEIR_EINVAL : api_schema_check(api_schema_find("ReconcileOutcome"), call->body, &rq->err);
    const char *reason = rc < 0 ? "" : json_string_value(json_object_get(call->body, "reason"));
    if (rc == 0 && (reason[0] == '\0' || strlen(reason) > NOTE_BYTES_MAX || json_array_size(json_object_get(call->body, "leak_suspects")) > LEASES_MAX)) {
        rc = weir_fail(&rq->err, -WEIR_EINVAL, "reason: text of 1 to %d bytes; leak_suspects: at most %d", NOTE_BYTES_MAX, LEASES_MAX);
    }
    if (rc < 0) {
        api_fail(rq->http, rc, &rq->err);
        api_call_free(call);
        return;
    }
    wrong = failure_text(call->body, call->api->conf.currency, call->cmd.u.finding.text, sizeof call->cmd.u.finding.text);
    call->cmd.u.finding.kind = WEIR_FINDING_RECONCILIATION;
    call->cmd.u.finding.is_wrong = wrong != NULL;
    (void)snprintf(call->cmd.u.finding.name, sizeof call->cmd.u.finding.name, "bill/%.150s", reason);
    api_call_post(call);
}
