/* SPDX-License-Identifier: Apache-2.0 */
/* The service whose deciding thread answers every command by rule. */

#include "api_fixture_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void s_post(struct weir_service *s, struct weir_command *cmd)
{
    struct fixture_service *f = (struct fixture_service *)s;
    assert_non_null(cmd->who);
    (void)pthread_mutex_lock(&f->lock);
    cmd->next = NULL;
    *f->tail = cmd;
    f->tail = &cmd->next;
    (void)pthread_cond_signal(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
}

static const struct weir_learned known_learned[] = {
    {.offer = 77,
     .boot = {95 * WEIR_US_PER_S},
     .reclaim_ppm_per_hour = 75000,
     .lost = {12 * WEIR_US_PER_S},
     .launches = 20,
     .failures = 1,
     .reclaims = 3,
     .lived = {40 * WEIR_US_PER_HOUR},
     .launches_of_market = 32},
};

/* Their GPU model is filled in at the start. */
static struct weir_offer known_offers[] = {
    {.id = 77,
     .provider = "sandbox",
     .region = "us-east-1",
     .instance_type = "p4d.24xlarge",
     .market = WEIR_OFFER_SPOT,
     .gpu_model = WEIR_GPU_MODEL_ANY,
     .gpus = 8,
     .gpu_mem_mib = 40960,
     .cpu_milli = 96000,
     .mem_mib = 1179648,
     .price_micro_per_hour = 9000000,
     .as_of = AT(-60),
     .expires = {INT64_MAX},
     .source = "test",
     .launchable = true},
    {.id = 78,
     .provider = "aws",
     .region = "eu-west-1",
     .instance_type = "p4d.24xlarge",
     .market = WEIR_OFFER_ON_DEMAND,
     .gpu_model = WEIR_GPU_MODEL_ANY,
     .gpus = 8,
     .gpu_mem_mib = 40960,
     .cpu_milli = 96000,
     .mem_mib = 1179648,
     .price_micro_per_hour = 21957642,
     .as_of = AT(-60),
     .expires = {INT64_MAX},
     .source = "list",
     .launchable = false},
};

static void fill_explain(struct weir_explain *e, struct weir_job_id job)
{
    *e = (struct weir_explain){.seq = 9,
                               .now = fixture_now,
                               .task = {job, 0},
                               .decision = WEIR_DECISION_WAIT,
                               .queue_ahead = 3,
                               .expected_run = {60000000},
                               .margin_micro = 5000000,
                               .n_considered = 3,
                               .n_candidates = 2};
    e->rejected[WEIR_VERDICT_WRONG_GPU] = 1;
    e->candidate[0] = (struct weir_candidate){.kind = WEIR_CANDIDATE_OWNED_LATER,
                                              .verdict = WEIR_VERDICT_CHOSEN,
                                              .node = {1},
                                              .start_delay = {600000000},
                                              .run_micro = 5000,
                                              .wait_micro = 16667,
                                              .total_micro = 21667};
    e->candidate[1] = (struct weir_candidate){.kind = WEIR_CANDIDATE_OFFER,
                                              .verdict = WEIR_VERDICT_DEARER,
                                              .offer = 77,
                                              .start_delay = {300000000},
                                              .run_micro = 150000,
                                              .boot_micro = 4871667,
                                              .total_micro = 5021667};
}

static void copy(char *to, size_t size, struct weir_sv from)
{
    (void)snprintf(to, size, "%.*s", (int)from.n, from.p);
}

static int s_submit(struct fixture_service *f, struct weir_command *c)
{
    copy(f->user, sizeof f->user, weir_sv_of(c->u.submit.user));
    copy(f->spec_json, sizeof f->spec_json, c->u.submit.spec_json);
    copy(f->tags_json, sizeof f->tags_json, c->u.submit.tags_json);
    if (weir_streq(c->u.submit.spec->name, "impossible")) {
        return weir_fail(&c->err, -WEIR_EIMPOSSIBLE, "no node has that; the nearest possible is A100:4");
    }
    if (c->u.submit.dry_run) {
        c->flag = true;
        fill_explain(&c->explain, (struct weir_job_id){0});
        c->offer = known_offers;
        c->n_offers = WEIR_ARRAY_LEN(known_offers);
        return 0;
    }
    c->job.v = f->next_job++;
    return 0;
}

static int known(struct weir_command *c, uint64_t id, uint64_t a, uint64_t b)
{
    return id == a || id == b ? 0 : weir_fail(&c->err, -WEIR_ENOTFOUND, "%" PRIu64 " is not known", id);
}

static int s_agent(struct fixture_service *f, struct weir_command *c)
{
    json_t *body = json_deep_copy(c->u.agent.body);
    json_object_set_new(body, "lease", json_integer((json_int_t)c->u.agent.token_lease.v));
    json_object_set_new(body, "has_peer", json_boolean(c->u.agent.peer[0] != '\0'));
    char *text = json_dumps(body, JSON_COMPACT);
    c->reply = WEIR_STR_INIT(1 << 20);
    weir_str_adds(&c->reply, text);
    free(text);
    json_decref(body);
    f->id = c->u.agent.token_lease.v;
    return 0;
}

static int s_do(struct fixture_service *f, struct weir_command *c)
{
    switch (c->kind) {
    case WEIR_COMMAND_SUBMIT:
        return s_submit(f, c);
    case WEIR_COMMAND_CANCEL:
        f->id = c->u.cancel.has_index ? c->u.cancel.index : 0;
        return known(c, c->u.cancel.job.v, 12, 14);
    case WEIR_COMMAND_EXPLAIN:
        if (c->u.cancel.job.v == 14) {
            c->flag = true;
            fill_explain(&c->explain, c->u.cancel.job);
            c->offer = known_offers;
            c->n_offers = WEIR_ARRAY_LEN(known_offers);
            return 0;
        }
        return known(c, c->u.cancel.job.v, 12, 15);
    case WEIR_COMMAND_WAIT_JOB:
        f->number = c->u.wait.timeout.us;
        return 0;
    case WEIR_COMMAND_NODE:
        f->number = c->u.node.op;
        return known(c, c->u.node.node.v, 1, 1003);
    case WEIR_COMMAND_LEASE_END:
        return known(c, c->u.lease.lease.v, 3, 3);
    case WEIR_COMMAND_LEASES:
        f->id = c->u.leases.op;
        c->reply = WEIR_STR_INIT(4096);
        weir_str_adds(&c->reply, "{\"providers\":[],\"leases\":0,\"clean\":true,\"busy\":false,\"renting\":true}");
        return 0;
    case WEIR_COMMAND_PROJECT_SET:
        f->number = c->u.project.delay_cost_micro_per_hour;
        f->id = (uint64_t)c->u.project.weight;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.project.name));
        return 0;
    case WEIR_COMMAND_QUOTA_SET:
        f->number = c->u.quota.def.limit;
        f->id = c->u.quota.given;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.quota.def.name));
        return 0;
    case WEIR_COMMAND_QUOTA_REMOVE:
        return weir_streq(c->u.quota.def.name, "vision") ? 0 : weir_fail(&c->err, -WEIR_ENOTFOUND, "quota '%s' does not exist", c->u.quota.def.name);
    case WEIR_COMMAND_BUDGET_SET:
        f->number = c->u.budget.def.amount_micro;
        f->id = c->u.budget.given;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.budget.def.name));
        return 0;
    case WEIR_COMMAND_BUDGET_REMOVE:
        return weir_streq(c->u.budget.def.name, "vision") ? 0 : weir_fail(&c->err, -WEIR_ENOTFOUND, "budget '%s' does not exist", c->u.budget.def.name);
    case WEIR_COMMAND_OFFERS:
        c->offer = known_offers;
        c->n_offers = WEIR_ARRAY_LEN(known_offers);
        c->learned = known_learned;
        c->n_learned = WEIR_ARRAY_LEN(known_learned);
        return 0;
    case WEIR_COMMAND_CHECK:
        c->reply = WEIR_STR_INIT(4096);
        weir_str_adds(&c->reply, "{\"providers\":[{\"provider\":\"aws\",\"checked\":null,\"checks\":[{\"name\":\"prices\",\"verdict\":\"ok\",\"text\":\"\",\"remedy\":null}]}],\"ok\":true}");
        return 0;
    case WEIR_COMMAND_SETTLE:
        return 0;
    case WEIR_COMMAND_CLOSE:
        c->u.close.row.id = 2;
        c->u.close.row.at = fixture_now;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.close.row.month));
        return 0;
    case WEIR_COMMAND_RULE:
        copy(f->text, sizeof f->text, weir_sv_of(c->u.rule.row.name));
        return 0;
    case WEIR_COMMAND_PRICE:
        f->id = c->u.price.n;
        return 0;
    case WEIR_COMMAND_INVOICE:
        f->number = (int64_t)c->u.invoice.n;
        return 0;
    case WEIR_COMMAND_AMEND:
        f->id = c->u.amend.row.id;
        f->number = c->u.amend.row.micro;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.amend.row.reason));
        return 0;
    case WEIR_COMMAND_ACCRUED:
        /* one task of the array runs on two nodes; what another accrued before it ended is in the ledger when its row is read */
        c->n_accrued = c->u.accrued.job.v == 0 || c->u.accrued.job.v == 12 ? 3 : 0;
        c->accrued = c->n_accrued == 0 ? NULL : weir_calloc(c->n_accrued, sizeof *c->accrued);
        for (uint32_t i = 0; i < c->n_accrued; i++) {
            c->accrued[i] = (struct weir_accrued){{{12}, i < 2 ? 2 : 0}, 40 + (int64_t)i};
        }
        return 0;
    case WEIR_COMMAND_STATUS:
        c->reply = WEIR_STR_INIT(4096);
        weir_str_adds(&c->reply, "{\"version\":\"" WEIR_VERSION
                                 "\",\"jobs\":{\"waiting\":1,\"running\":2},\"tasks\":{\"waiting\":98}}");
        return 0;
    case WEIR_COMMAND_SANDBOX_FAULT:
        copy(f->text, sizeof f->text, weir_sv_of(c->u.fault.what));
        return weir_streq(c->u.fault.what, "bad") ? weir_fail(&c->err, -WEIR_EINVAL, "fault 'bad' is not known") : 0;
    case WEIR_COMMAND_ACCESS:
        f->id = c->u.access.op;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.access.user == NULL ? "" : c->u.access.user));
        if (c->u.access.op == WEIR_ACCESS_TOKEN_MAKE) {
            c->reply = WEIR_STR_INIT(4096);
            weir_str_adds(&c->reply, "secret");
            copy(c->u.access.token, sizeof c->u.access.token, WEIR_SV("0123456789abcdef"));
        } else if (c->u.access.op == WEIR_ACCESS_NODE_INVITE) {
            c->reply = WEIR_STR_INIT(4096);
            weir_str_adds(&c->reply, "{\"id\":\"0123456789abcdef\",\"token\":\"secret\",\"node\":null,\"expires\":\"2026-11-22T21:00:00Z\",\"broker\":\"https://b\",\"authority\":\"PEM\"}");
        }
        return 0;
    case WEIR_COMMAND_LOGIN:
        atomic_store(&f->is_logged_in, f->login_helps);
        return f->login_code == 0 ? 0 : weir_fail(&c->err, f->login_code, "the issuer says no");
    case WEIR_COMMAND_POLICY_SET:
    case WEIR_COMMAND_POLICY_REMOVE:
        copy(f->text, sizeof f->text, weir_sv_of(c->u.policy.name));
        return weir_streq(c->u.policy.name, "no-spot") ? 0 : weir_fail(&c->err, -WEIR_ENOTFOUND, "policy '%s' does not exist", c->u.policy.name);
    case WEIR_COMMAND_ALERT:
        f->id = c->u.alert.id;
        f->number = c->u.alert.until.us;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.alert.receiver == NULL ? "" : c->u.alert.receiver));
        if (c->u.alert.op == WEIR_ALERT_OP_RECEIVERS) {
            c->reply = WEIR_STR_INIT(4096);
            weir_str_adds(&c->reply, "{\"items\":[{\"name\":\"ops\",\"kind\":\"webhook\",\"sent\":3,\"failed\":1,\"at\":\"2026-11-22T19:00:00Z\","
                                     "\"error\":\"it answered 500\"}],\"next\":null}");
        }
        return c->u.alert.op == WEIR_ALERT_OP_TEST || c->u.alert.op == WEIR_ALERT_OP_RECEIVERS ? 0 : known(c, c->u.alert.id, 5, 6);
    case WEIR_COMMAND_FINDING:
        f->id = c->u.finding.kind;
        f->number = c->u.finding.is_wrong;
        copy(f->text, sizeof f->text, weir_sv_of(c->u.finding.text));
        return 0;
    case WEIR_COMMAND_AGENT_CERTIFY:
    case WEIR_COMMAND_AGENT_JOIN:
    case WEIR_COMMAND_AGENT_SYNC:
    case WEIR_COMMAND_AGENT_REPORT:
        return s_agent(f, c);
    case WEIR_COMMAND_MAX:
        break;
    }
    return -WEIR_EIO;
}

static void *decide(void *ctx)
{
    struct fixture_service *f = ctx;
    (void)pthread_mutex_lock(&f->lock);
    while (!f->is_ending || f->head != NULL) {
        struct weir_command *c = f->head;
        if (c == NULL) {
            (void)pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        f->head = c->next;
        if (f->head == NULL) {
            f->tail = &f->head;
        }
        (void)pthread_mutex_unlock(&f->lock);
        atomic_fetch_add(&f->n_commands, 1);
        c->code = s_do(f, c);
        c->done(c);
        (void)pthread_mutex_lock(&f->lock);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* "ROLE-token" is ROLE-user's, who is in project 1, "vision": an operator, finance, owner or user as a user of it, a viewer as a
 * viewer; "outsider-token" that of a user without projects; "late-token" the viewer's, once they have logged in. */
static int s_authenticate(struct weir_service *s, struct weir_sv token, struct weir_identity *ret, struct weir_login **ret_login, struct weir_err *err)
{
    struct fixture_service *f = (struct fixture_service *)s;
    if (weir_sv_eq(token, WEIR_SV("late-token"))) {
        token = WEIR_SV("viewer-token");
        *ret_login = atomic_load(&f->is_logged_in) ? NULL : weir_alloc(1);
        if (*ret_login != NULL) {
            return 0;
        }
    }
    char name[16];
    struct weir_sv word = token;
    struct weir_sv first = weir_sv_cut(&word, '-');
    (void)snprintf(name, sizeof name, "%.*s", WEIR_SV_ARG(first));
    bool is_outsider = weir_streq(name, "outsider");
    enum weir_role role = is_outsider ? WEIR_ROLE_USER : weir_role_find(name);
    if (role == WEIR_ROLE_NONE || !weir_sv_eq(word, WEIR_SV("token"))) {
        return weir_fail(err, -WEIR_EUNAUTH, "this token is not known");
    }
    *ret = (struct weir_identity){.role = role == WEIR_ROLE_OWNER ? WEIR_ROLE_USER : role};
    (void)snprintf(ret->user, sizeof ret->user, "%s-user", name);
    (void)snprintf(ret->token, sizeof ret->token, "%s", name);
    if (role == WEIR_ROLE_AGENT) {
        ret->lease.v = 3;
    } else if (role != WEIR_ROLE_ADMIN) {
        ret->scope = weir_scope_new(1);
        if (!is_outsider) {
            weir_scope_add(ret->scope, (struct weir_project_id){1}, "vision", role == WEIR_ROLE_VIEWER || role == WEIR_ROLE_OWNER ? role : WEIR_ROLE_USER);
        }
    }
    return 0;
}

static bool s_is_still(struct weir_service *s, const struct weir_identity *who)
{
    return who->token[0] == '\0' || !weir_streq(who->token, ((struct fixture_service *)s)->revoked);
}

static int s_check_session(struct weir_service *s, struct weir_node_id node, const char *session, struct weir_err *err)
{
    (void)s;
    return (node.v == 1 || node.v == 1003) && weir_streq(session, "s1")
               ? 0
               : weir_fail(err, -WEIR_ECONFLICT, "the session has ended; join again");
}

static void s_subscribe(struct weir_service *s, void (*fn)(void *ctx), void *ctx)
{
    struct fixture_service *f = (struct fixture_service *)s;
    f->on_commit = fn;
    f->on_commit_ctx = ctx;
}

static int s_open_program(struct weir_service *s, const char *arch, struct weir_err *err)
{
    (void)s;
    if (!weir_streq(arch, "x86_64")) {
        return weir_fail(err, -WEIR_ENOTFOUND, "no program for %s", arch);
    }
    int fd = memfd_create("program", MFD_CLOEXEC);
    assert_int_equal(pwrite(fd, "a program", 9, 0), 9);
    return fd;
}

static const struct weir_service_ops service_ops = {s_post, s_authenticate, NULL, s_is_still, s_check_session, s_subscribe, s_open_program};

void fixture_service_start(struct fixture_service *s, struct weir_gpu_table *gpus)
{
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->changed, NULL);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(known_offers); i++) {
        known_offers[i].gpu_model = weir_gpu_table_intern(gpus, WEIR_SV("A100"));
    }
    s->base.ops = &service_ops;
    s->tail = &s->head;
    s->next_job = 100;
    assert_int_equal(pthread_create(&s->thread, NULL, decide, s), 0);
}

void fixture_service_stop(struct fixture_service *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->is_ending = true;
    (void)pthread_cond_signal(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->thread, NULL);
}
