/* SPDX-License-Identifier: Apache-2.0 */
/* What happened: a list, or a stream of lines that goes on for as long as the client wants. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/mem.h"
#include "base/vec.h"

enum { STREAM_BATCH = 200 };

struct event_item {
    struct weir_event_row row; /* strings owned */
};

struct event_list {
    WEIR_VEC(struct event_item) items;
};

static int on_event(void *ctx, const struct weir_event_row *row)
{
    struct event_list *l = ctx;
    struct event_item item = {.row = *row};
    item.row.kind = weir_strdup(row->kind);
    item.row.text = weir_strdup(row->text == NULL ? "" : row->text);
    weir_vec_push(&l->items, item);
    return 0;
}

static void event_list_free(struct event_list *l)
{
    for (size_t i = 0; i < l->items.n; i++) {
        free((void *)(uintptr_t)l->items.p[i].row.kind);
        free((void *)(uintptr_t)l->items.p[i].row.text);
    }
    weir_vec_release(&l->items);
}

static bool needs_index(const struct weir_event_row *r)
{
    return r->job.v != 0 && r->ordinal != WEIR_ORDINAL_ALL;
}

/* Reads events and renders them: as items of an open array, or a line each. */
static int render_events(struct weir_store *s, const struct weir_event_filter *f, bool as_lines, struct weir_json *j, struct weir_str *out,
                         uint64_t *ret_seen, bool *ret_more, struct weir_err *err)
{
    struct event_list l = {0};
    struct api_node_names names = {0};
    struct api_array array = {.n = 0};
    uint64_t array_of = 0;
    bool needs_names = false;
    int rc = s->ops->list_events(s, f, ret_seen, ret_more, on_event, &l, err);
    for (size_t i = 0; i < l.items.n; i++) {
        needs_names = needs_names || l.items.p[i].row.node.v != 0;
    }
    if (rc >= 0 && needs_names) {
        rc = api_node_names_load(s, &names, err);
    }
    for (size_t i = 0; rc >= 0 && i < l.items.n; i++) {
        const struct weir_event_row *r = &l.items.p[i].row;
        if (needs_index(r) && array_of != r->job.v) {
            struct api_job line;
            array.n = 0;
            array_of = r->job.v;
            if (api_job_get(s, r->job, false, &line, NULL) == 0) {
                (void)api_array_parse(line.array, line.view.n_tasks, &array, NULL);
                api_job_release(&line);
            }
        }
        if (as_lines) {
            *j = weir_json_begin(out);
        }
        api_event_json(j, r, &names, &array);
        if (as_lines) {
            weir_str_addc(out, '\n');
        }
    }
    api_node_names_release(&names);
    event_list_free(&l);
    return rc < 0 ? rc : 0;
}

/* ---- the stream ---- */

struct event_stream {
    struct api_stream base; /* first */
    enum api_reach reach;
    struct weir_job_id job;
    uint64_t after;
    struct weir_str text; /* lines not yet sent */
    size_t sent;
};

static long events_pull(void *ctx, char *buf, size_t size)
{
    struct event_stream *e = ctx;
    if (!api_stream_may(&e->base)) {
        return -1;
    }
    bool more = true;
    /* where only the caller's are looked for, there may be many others before the next */
    while (e->sent == e->text.n && more) {
        unsigned which;
        struct weir_json j;
        struct weir_project_set own;
        struct weir_event_filter f = {.after = e->after, .job = e->job, .within = api_within(e->reach, &e->base.who, &own), .limit = STREAM_BATCH};
        struct weir_err err;
        weir_str_clear(&e->text);
        e->sent = 0;
        struct weir_store *s = api_reader_take(e->base.api, &which);
        int rc = render_events(s, &f, true, &j, &e->text, &e->after, &more, &err);
        api_reader_put(e->base.api, which);
        if (rc < 0 || e->text.overflowed) {
            return -1;
        }
    }
    size_t n = e->text.n - e->sent;
    n = n < size ? n : size;
    if (n > 0) {
        memcpy(buf, e->text.p + e->sent, n);
        e->sent += n;
    }
    return (long)n;
}

static void events_done(void *ctx)
{
    struct event_stream *e = ctx;
    api_stream_end(&e->base);
    weir_str_release(&e->text);
    free(e);
}

/* Who goes on from an event must get all that came after it: where some of that was removed for its age, it is told. */
static int check_kept(struct api_request *rq, uint64_t after)
{
    unsigned which;
    uint64_t first = 0;
    struct weir_store *s = api_reader_take(rq->api, &which);
    int rc = after == 0 ? 0 : s->ops->first_event(s, &first, &rq->err);
    api_reader_put(rq->api, which);
    if (rc == 0 && first > 0 && after < first - 1) {
        return weir_fail(&rq->err, -WEIR_ENOTFOUND,
                         "events up to %" PRIu64 " were removed for their age (retention: events), so what came after %" PRIu64
                         " is not whole: go on with after=%" PRIu64 ", or leave 'after' out",
                         first - 1, after, first - 1);
    }
    return rc;
}

void api_handle_events(struct api_request *rq)
{
    struct weir_api *a = rq->api;
    uint64_t after = api_number(rq, "cursor", api_number(rq, "after", 0));
    struct weir_job_id job = {api_number(rq, "job", 0)};
    int known = check_kept(rq, after);
    if (known < 0) {
        api_fail(rq->http, known, &rq->err);
        return;
    }
    if (api_flag(rq, "follow")) {
        struct event_stream *e = weir_alloc(sizeof *e);
        *e = (struct event_stream){.base = {.api = a, .who = api_who_copy(&rq->who)},
                                   .reach = rq->reach,
                                   .job = job,
                                   .after = after,
                                   .text = WEIR_STR_INIT(4 << 20)};
        api_stream_begin(&e->base, rq->http, "application/x-ndjson", events_pull, events_done);
        return;
    }
    struct weir_project_set own;
    struct weir_event_filter f = {.after = after,
                                  .job = job,
                                  .within = api_within(rq->reach, &rq->who, &own),
                                  .limit = (uint32_t)api_number(rq, "limit", API_LIST_LIMIT)};
    bool more = false;
    unsigned which;
    struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
    struct weir_json j = weir_json_begin(&out);
    weir_json_object(&j);
    weir_json_key(&j, "items");
    weir_json_array(&j);
    struct weir_store *s = api_reader_take(a, &which);
    int rc = render_events(s, &f, false, &j, &out, &after, &more, &rq->err);
    api_reader_put(a, which);
    if (rc < 0) {
        weir_str_release(&out);
        api_fail(rq->http, rc, &rq->err);
        return;
    }
    weir_json_end(&j);
    weir_json_key(&j, "next");
    if (more) {
        char buf[24];
        (void)snprintf(buf, sizeof buf, "%" PRIu64, after);
        weir_json_cstr(&j, buf);
    } else {
        weir_json_null(&j);
    }
    weir_json_end(&j);
    api_reply(rq->http, 200, &out);
}
