/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2's side of the provider contract. An instance's id here is "region/i-...", so that it can be found by id alone. What a machine is
 * to weir stands in its tags, which are set with its creation: weir-owner, weir-token, weir-lease.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cloud/ec2/ec2_priv.h"

/* DescribeInstances may not know a machine for a while after it was made. */
enum { VISIBLE_WITHIN_S = 60, REFRESH_BEFORE_S = 600 };

struct ec2_op {
    struct weir_provider *p;
    weir_provider_fn *done;
    void *ctx;
    void (*drop)(void *ctx); /* of ctx, where no answer comes; NULL: it is the caller's own */
    size_t region; /* of the page, or of the look by token under way */
    char name[WEIR_REGION_SIZE]; /* of a region that need not be configured */
    char token[WEIR_TOKEN_SIZE];
};

static struct ec2_op *new_op(struct weir_provider *p, weir_provider_fn *done, void *ctx)
{
    struct ec2_op *op = weir_alloc(sizeof *op);
    op->p = p;
    op->done = done;
    op->ctx = ctx;
    return op;
}

static void end_op(struct ec2_op *op, const struct weir_provider_result *r)
{
    weir_provider_fn *done = op->done;
    void *ctx = op->ctx;
    free(op);
    done(ctx, r);
}

static void drop_op(void *ctx)
{
    struct ec2_op *op = ctx;
    if (op->drop != NULL) {
        op->drop(op->ctx);
    }
    free(op);
}

static int start(struct ec2_op *op, int r)
{
    if (r < 0) {
        free(op);
    }
    return r;
}

static void end_unreadable(struct ec2_op *op, const char *what, const struct weir_err *err)
{
    struct weir_provider_result r = {.class = WEIR_PROVIDER_UNKNOWN};
    (void)snprintf(r.text, sizeof r.text, EC2_NAME ": %s: %.200s", what, err->text);
    end_op(op, &r);
}

/* "us-east-1/i-0abc" -> its two parts; false where it cannot be one of ours. */
static bool split_id(const char *id, char *region, size_t size, const char **ret_bare)
{
    const char *slash = strchr(id, '/');
    if (slash == NULL || (size_t)(slash - id) >= size) {
        return false;
    }
    (void)snprintf(region, size, "%.*s", (int)(slash - id), id);
    const char *bare = slash + 1;
    *ret_bare = bare;
    return ec2_region_is_valid(region) && strncmp(bare, "i-", 2) == 0 && bare[2] != '\0' && bare[2 + strspn(bare + 2, "0123456789abcdef")] == '\0';
}

/* All instances of an answer that are ours and can be read, at most max. Those of a token come to one: the oldest that is there, else the last that was. */
static size_t read_instances(const struct weir_provider *p, const struct weir_xml *root, const char *region, struct weir_instance *ret, size_t max)
{
    const struct weir_xml *set = weir_xml_at(root, "reservationSet");
    size_t n = 0;
    for (const struct weir_xml *r = set == NULL ? NULL : set->first; r != NULL; r = r->next) {
        const struct weir_xml *items = weir_xml_at(r, "instancesSet");
        for (const struct weir_xml *i = items == NULL ? NULL : items->first; i != NULL && n < max; i = i->next) {
            bool is_ours = weir_streq(ec2_tag(i, EC2_TAG_OWNER), p->env->owner);
            n += is_ours && ec2_read_instance(i, region, &ret[n]) ? 1 : 0;
        }
    }
    return n;
}

static size_t count_instances(const struct weir_xml *root)
{
    const struct weir_xml *set = weir_xml_at(root, "reservationSet");
    size_t n = 0;
    for (const struct weir_xml *r = set == NULL ? NULL : set->first; r != NULL; r = r->next) {
        const struct weir_xml *items = weir_xml_at(r, "instancesSet");
        for (const struct weir_xml *i = items == NULL ? NULL : items->first; i != NULL; i = i->next) {
            n++;
        }
    }
    return n;
}

static const struct weir_instance *choose(const struct weir_instance *i, size_t n)
{
    const struct weir_instance *best = NULL;
    for (size_t k = 0; k < n; k++) {
        bool is_alive = i[k].state != WEIR_INSTANCE_GONE;
        bool was_alive = best != NULL && best->state != WEIR_INSTANCE_GONE;
        if (best == NULL || (is_alive && !was_alive) || (is_alive == was_alive && i[k].launched.us < best->launched.us)) {
            best = &i[k];
        }
    }
    return best;
}

/* ---- describe ---- */

static void on_described(void *ctx, const struct weir_cloud_answer *a);

static int look_by_token(struct ec2_op *op)
{
    struct weir_provider *p = op->p;
    WEIR_CLEANUP(weir_str_release) struct weir_str form = ec2_form("DescribeInstances");
    ec2_form_add(&form, "Filter.1.Name", "tag:" EC2_TAG_TOKEN);
    ec2_form_add(&form, "Filter.1.Value.1", op->token);
    ec2_form_add(&form, "Filter.2.Name", "tag:" EC2_TAG_OWNER);
    ec2_form_add(&form, "Filter.2.Value.1", p->env->owner);
    (void)snprintf(op->name, sizeof op->name, "%s", p->conf.region[op->region]);
    return ec2_send(p, op->name, "DescribeInstances", WEIR_CLOUD_READ, 0, &form, on_described, drop_op, op);
}

static void on_described(void *ctx, const struct weir_cloud_answer *a)
{
    enum { SAME_TOKEN_MAX = 64 };
    struct ec2_op *op = ctx;
    struct weir_provider_result r = weir_cloud_result(a);
    struct weir_arena arena = {0};
    const struct weir_xml *root = NULL;
    struct weir_err err = {""};
    if (strncmp(a->code, "InvalidInstanceID", 17) == 0) {
        r = (struct weir_provider_result){.class = WEIR_PROVIDER_OK};
    }
    if (a->class != WEIR_PROVIDER_OK) {
        end_op(op, &r);
        return;
    }
    int rc = weir_xml_parse(a->body, &arena, &root, &err);
    struct weir_instance found[SAME_TOKEN_MAX];
    size_t n = rc < 0 ? 0 : read_instances(op->p, root, op->name, found, SAME_TOKEN_MAX);
    weir_arena_release(&arena);
    if (rc < 0) {
        end_unreadable(op, "DescribeInstances", &err);
        return;
    }
    /* A launch goes to one region, but which it was is not in the token. */
    if (n == 0 && op->token[0] != '\0' && ++op->region < op->p->conf.n_regions) {
        if (look_by_token(op) < 0) {
            r = (struct weir_provider_result){.class = WEIR_PROVIDER_THROTTLED, .text = EC2_NAME ": too many calls are under way"};
            end_op(op, &r);
        }
        return;
    }
    r.instance = choose(found, n);
    r.n_instances = n > 0 ? 1 : 0;
    end_op(op, &r);
}

static void on_settled(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider_result r = weir_cloud_result(a);
    end_op(ctx, &r);
}

int ec2_find(struct weir_provider *p, const char *token, weir_provider_fn *done, void (*drop)(void *ctx), void *ctx)
{
    struct ec2_op *op = new_op(p, done, ctx);
    op->drop = drop;
    (void)snprintf(op->token, sizeof op->token, "%s", token);
    return start(op, look_by_token(op));
}

static int ec2_describe(struct weir_provider *p, const char *token, const char *instance_id, weir_provider_fn *done, void *ctx)
{
    WEIR_ASSERT((token == NULL) != (instance_id == NULL));
    if (token != NULL) {
        return ec2_find(p, token, done, NULL, ctx);
    }
    struct ec2_op *op = new_op(p, done, ctx);
    const char *bare;
    if (!split_id(instance_id, op->name, sizeof op->name, &bare)) { /* nothing of that name can exist */
        return start(op, weir_cloud_refuse(p->cloud, "DescribeInstances", WEIR_PROVIDER_OK, "", on_settled, drop_op, op));
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str form = ec2_form("DescribeInstances");
    ec2_form_add(&form, "InstanceId.1", bare);
    return start(op, ec2_send(p, op->name, "DescribeInstances", WEIR_CLOUD_READ, 0, &form, on_described, drop_op, op));
}

/* ---- list ---- */

static void on_listed(void *ctx, const struct weir_cloud_answer *a)
{
    struct ec2_op *op = ctx;
    struct weir_provider *p = op->p;
    struct weir_provider_result r = weir_cloud_result(a);
    struct weir_arena arena = {0};
    const struct weir_xml *root = NULL;
    struct weir_err err = {""};
    if (a->class != WEIR_PROVIDER_OK) {
        end_op(op, &r);
        return;
    }
    if (weir_xml_parse(a->body, &arena, &root, &err) < 0) {
        weir_arena_release(&arena);
        end_unreadable(op, "DescribeInstances", &err);
        return;
    }
    size_t n = count_instances(root); /* which may be more than were asked for: none may go unseen */
    struct weir_instance *found = weir_calloc(n, sizeof *found);
    r.n_instances = read_instances(p, root, p->conf.region[op->region], found, n);
    r.instance = found;
    /* "2 token": the region's number, and EC2's token of its next page, which may be empty. */
    struct weir_str next = WEIR_STR_INIT(16384);
    const char *token = weir_xml_text(root, "nextToken");
    if (token[0] != '\0') {
        weir_str_addf(&next, "%zu %s", op->region, token);
    } else if (op->region + 1 < p->conf.n_regions) {
        weir_str_addf(&next, "%zu ", op->region + 1);
    }
    r.next_page = next.n > 0 ? weir_str_cstr(&next) : NULL;
    end_op(op, &r);
    weir_str_release(&next);
    free(found);
    weir_arena_release(&arena);
}

static int ec2_list(struct weir_provider *p, const char *page, weir_provider_fn *done, void *ctx)
{
    static const char *const states[] = {"pending", "running", "shutting-down", "stopping", "stopped"};
    struct ec2_op *op = new_op(p, done, ctx);
    const char *token = page == NULL ? "" : page + strspn(page, "0123456789");
    for (const char *d = page == NULL ? "" : page; d < token && op->region < EC2_REGIONS_MAX; d++) {
        op->region = op->region * 10 + (size_t)(*d - '0');
    }
    if (op->region >= p->conf.n_regions) {
        return start(op, weir_cloud_refuse(p->cloud, "DescribeInstances", WEIR_PROVIDER_REFUSED, "no such page", on_settled, drop_op, op));
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str form = ec2_form("DescribeInstances");
    ec2_form_add(&form, "Filter.1.Name", "tag:" EC2_TAG_OWNER);
    ec2_form_add(&form, "Filter.1.Value.1", p->env->owner);
    ec2_form_add(&form, "Filter.2.Name", "instance-state-name");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(states); i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "Filter.2.Value.%zu", i + 1);
        ec2_form_add(&form, key, states[i]);
    }
    ec2_form_addf(&form, "MaxResults", "%u", p->conf.page_size);
    if (token[0] == ' ' && token[1] != '\0') {
        ec2_form_add(&form, "NextToken", token + 1);
    }
    return start(op, ec2_send(p, p->conf.region[op->region], "DescribeInstances", WEIR_CLOUD_READ, 0, &form, on_listed, drop_op, op));
}

/* ---- terminate ---- */

static void on_terminated(void *ctx, const struct weir_cloud_answer *a)
{
    struct weir_provider_result r = weir_cloud_result(a);
    if (strncmp(a->code, "InvalidInstanceID", 17) == 0) {
        r = (struct weir_provider_result){.class = WEIR_PROVIDER_OK}; /* gone for long */
    }
    end_op(ctx, &r);
}

static int ec2_terminate(struct weir_provider *p, const char *instance_id, weir_provider_fn *done, void *ctx)
{
    struct ec2_op *op = new_op(p, done, ctx);
    const char *bare;
    if (!split_id(instance_id, op->name, sizeof op->name, &bare)) { /* to call it ended would be untrue */
        return start(op, weir_cloud_refuse(p->cloud, "TerminateInstances", WEIR_PROVIDER_REFUSED, "that is not the id of a machine of this provider",
                                           on_settled, drop_op, op));
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str form = ec2_form("TerminateInstances");
    ec2_form_add(&form, "InstanceId.1", bare);
    return start(op, ec2_send(p, op->name, "TerminateInstances", WEIR_CLOUD_REPEAT, 0, &form, on_terminated, drop_op, op));
}

/* ---- life ---- */

static int ec2_init(struct weir_provider **ret, const struct weir_provider_env *env, const struct json_t *conf, struct weir_err *err)
{
    struct weir_provider *p = weir_alloc(sizeof *p);
    p->env = env;
    int r = ec2_conf_read(&p->conf, conf, env, err);
    if (r < 0) {
        free(p);
        return r;
    }
    p->credential = weir_credential_new(env->clock, weir_dur_s(REFRESH_BEFORE_S), ec2_credentials_fetch, p);
    const struct weir_cloud_conf c = {.name = EC2_NAME,
                                      .loop = env->loop,
                                      .clock = env->clock,
                                      .http = env->http,
                                      .seed = (uint64_t)weir_clock_mono(env->clock).us,
                                      .per_second = p->conf.per_second,
                                      .sign = ec2_sign,
                                      .classify = ec2_classify,
                                      .credential = p->credential,
                                      .ctx = p};
    p->cloud = weir_cloud_new(&c);
    *ret = p;
    return 0;
}

static void ec2_fini(struct weir_provider *p)
{
    if (p != NULL) {
        weir_cloud_free(p->cloud);
        weir_credential_free(p->credential);
        ec2_offers_free(p);
        explicit_bzero(&p->key, sizeof p->key);
        free(p);
    }
}

const struct weir_provider_ops weir_ec2_provider = {
    .abi = WEIR_PROVIDER_ABI,
    .name = EC2_NAME,
    /* "You pay the Spot price that's in effect, billed to the nearest second": AWS, How Spot Instances Work */
    .caps = WEIR_PROVIDER_SPOT | WEIR_PROVIDER_TOKEN_NATIVE | WEIR_PROVIDER_SPOT_MOVES,
    .visible_within = {VISIBLE_WITHIN_S * WEIR_US_PER_S},
    .quota_remedy = "ask for more in Service Quotas, Amazon EC2, in that region",
    .init = ec2_init,
    .fini = ec2_fini,
    .offers = ec2_offers,
    .prices_anew = ec2_prices_anew,
    .price_history = ec2_price_history,
    .quota = ec2_quota,
    .launch = ec2_launch,
    .describe = ec2_describe,
    .list = ec2_list,
    .terminate = ec2_terminate,
    .check = ec2_check,
};
