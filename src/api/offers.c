/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to get a machine: what is owned, then what the service knows of offers. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/offers_rank.h"
#include "base/mem.h"
#include "base/vec.h"

struct offers_ask {
    struct api_offer_query q;
    char gpus[257];
    char region[65];
    char cloud[65];
    struct weir_offer *rented; /* copied from the service's */
    size_t n_rented;
    struct weir_learned *learned; /* the same */
    struct weir_told_quota *told;
};

struct owned_list {
    struct weir_api *api;
    struct weir_wall now;
    WEIR_VEC(struct weir_offer) offers;
};

/* An owned node as an offer: its full rate is the price, so that it can be compared. */
static int on_owned(void *ctx, const struct weir_node_row *row)
{
    struct owned_list *l = ctx;
    const struct weir_node_spec *s = &row->view.spec;
    if (s->lease.v != 0 || row->view.state != WEIR_NODE_UP) {
        return 0;
    }
    struct weir_offer o = {.id = s->id.v,
                           .market = WEIR_OFFER_ON_DEMAND,
                           .gpus = s->gpus,
                           .gpu_mem_mib = s->gpu_mem_mib,
                           .cpu_milli = s->cpu_milli,
                           .mem_mib = s->mem_mib,
                           .price_micro_per_hour = s->rates.full_micro_per_hour,
                           .as_of = l->now,
                           .expires = WEIR_WALL_MAX,
                           .launchable = true,
                           .gpu_model = WEIR_GPU_MODEL_ANY};
    (void)snprintf(o.provider, sizeof o.provider, "local");
    (void)snprintf(o.region, sizeof o.region, "%s",
                   s->region[0] != '\0' ? s->region
                   : row->pool == NULL  ? ""
                                        : row->pool);
    (void)snprintf(o.instance_type, sizeof o.instance_type, "%s", row->name == NULL ? "" : row->name);
    (void)snprintf(o.source, sizeof o.source, "full rate of owned hardware");
    if (s->gpus > 0 && row->gpu_model != NULL && row->gpu_model[0] != '\0') {
        pthread_mutex_t *lock = l->api->conf.gpus_lock;
        (void)pthread_mutex_lock(lock);
        o.gpu_model = weir_gpu_table_intern(l->api->conf.gpus, weir_sv_of(row->gpu_model));
        (void)pthread_mutex_unlock(lock);
    }
    weir_vec_push(&l->offers, o);
    return 0;
}

static void offers_finish(struct api_call *call)
{
    struct weir_api *a = call->api;
    struct offers_ask *ask = call->data;
    struct weir_err err = {{0}};
    struct owned_list l = {.api = a, .now = ask->q.now};
    unsigned which;
    struct weir_store *s = api_reader_take(a, &which);
    int rc = s->ops->each_node(s, false, on_owned, &l, &err);
    api_reader_put(a, which);
    rc = rc < 0 ? rc : api_offers_cloud(&ask->q, ask->rented, ask->n_rented, &err);
    if (rc < 0) {
        api_fail(call->http, rc, &err);
    } else {
        struct weir_str out = WEIR_STR_INIT(API_REPLY_BYTES_MAX);
        pthread_mutex_t *lock = a->conf.gpus_lock;
        (void)pthread_mutex_lock(lock);
        ask->q.feeds = weir_str_sv(&call->cmd.reply);
        api_offers_write(a->conf.gpus, &ask->q, l.offers.p, l.offers.n, ask->rented, ask->n_rented, &out);
        (void)pthread_mutex_unlock(lock);
        api_reply(call->http, 200, &out);
    }
    weir_vec_release(&l.offers);
    free(ask->rented);
    free(ask->learned);
    free(ask->told);
}

static int learned_cmp(const void *a, const void *b)
{
    const struct weir_learned *x = a;
    const struct weir_learned *y = b;
    return x->offer < y->offer ? -1 : x->offer > y->offer;
}

/* On the deciding thread: the offers are borrowed for this call only. */
static void offers_done(struct weir_command *cmd)
{
    struct api_call *call = (struct api_call *)cmd;
    struct offers_ask *ask = call->data;
    if (cmd->code < 0) {
        api_fail(call->http, cmd->code, &cmd->err);
        api_call_free(call);
        return;
    }
    if (cmd->n_offers > 0) {
        ask->rented = weir_calloc(cmd->n_offers, sizeof *ask->rented);
        memcpy(ask->rented, cmd->offer, cmd->n_offers * sizeof *ask->rented);
        ask->n_rented = cmd->n_offers;
    }
    if (cmd->n_learned > 0) {
        ask->learned = weir_calloc(cmd->n_learned, sizeof *ask->learned);
        memcpy(ask->learned, cmd->learned, cmd->n_learned * sizeof *ask->learned);
        qsort(ask->learned, cmd->n_learned, sizeof *ask->learned, learned_cmp);
        ask->q.learned = ask->learned;
        ask->q.n_learned = cmd->n_learned;
    }
    if (cmd->n_told > 0) {
        ask->told = weir_calloc(cmd->n_told, sizeof *ask->told);
        memcpy(ask->told, cmd->told, cmd->n_told * sizeof *ask->told);
        ask->q.told = ask->told;
        ask->q.n_told = cmd->n_told;
    }
    api_call_defer(call);
}

static const char *keep(char *buf, size_t size, const char *text)
{
    if (text == NULL) {
        return NULL;
    }
    (void)snprintf(buf, size, "%s", text);
    return buf;
}

void api_handle_offers(struct api_request *rq)
{
    struct weir_api *a = rq->api;
    struct offers_ask *ask = weir_alloc(sizeof *ask);
    const struct api_value *spot = api_param(rq, "spot");
    ask->q = (struct api_offer_query){
        .gpus = keep(ask->gpus, sizeof ask->gpus, api_text(rq, "gpus")),
        .region = keep(ask->region, sizeof ask->region, api_text(rq, "region")),
        .cloud = keep(ask->cloud, sizeof ask->cloud, api_text(rq, "cloud")),
        .has_spot = spot->is_given,
        .is_spot = spot->flag,
        .launchable = api_flag(rq, "launchable"),
        .all = api_flag(rq, "all"),
        .cursor = api_number(rq, "cursor", 0),
        .limit = api_number(rq, "limit", API_LIST_LIMIT),
        .currency = a->conf.currency,
        .now = weir_clock_wall(a->conf.clock),
    };
    pthread_mutex_t *lock = a->conf.gpus_lock;
    (void)pthread_mutex_lock(lock);
    int rc = api_offers_check(a->conf.gpus, &ask->q, &rq->err);
    (void)pthread_mutex_unlock(lock);
    if (rc < 0) {
        free(ask);
        api_fail(rq->http, rc, &rq->err);
        return;
    }
    struct api_call *call = api_call_new(rq, WEIR_COMMAND_OFFERS);
    call->data = ask;
    call->finish = offers_finish;
    call->cmd.done = offers_done;
    call->cmd.u.offers.live = api_flag(rq, "live");
    api_call_post(call);
}
