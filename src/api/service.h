/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the API asks of the program that serves it. Handlers parse a request into a command, post it, and
 * answer when it is done; they hold no policy. The broker implements this with one deciding thread.
 *
 * weir_service_post may be called from any thread. The command then belongs to the service until done is
 * called, once, from the deciding thread, after everything that the command changed was committed.
 * done must not block: it answers the request and frees the command.
 */

#include "api/role.h"
#include "base/err.h"
#include "base/str.h"
#include "bill/amend.h"
#include "core/core.h"
#include "spec/policy.h"
#include "spec/spec.h"
#include "store/store.h"

struct json_t;

enum weir_command_kind {
    WEIR_COMMAND_SUBMIT,
    WEIR_COMMAND_CANCEL,
    WEIR_COMMAND_EXPLAIN,    /* a fresh explanation of a waiting task */
    WEIR_COMMAND_WAIT_JOB,   /* done when the job has ended, or when timeout is over */
    WEIR_COMMAND_NODE,       /* drain, resume, remove */
    WEIR_COMMAND_LEASE_END,
    WEIR_COMMAND_LEASES,     /* compare with the providers; end them all */
    WEIR_COMMAND_PROJECT_SET,
    WEIR_COMMAND_BUDGET_SET,
    WEIR_COMMAND_BUDGET_REMOVE,
    WEIR_COMMAND_QUOTA_SET,
    WEIR_COMMAND_QUOTA_REMOVE,
    WEIR_COMMAND_OFFERS,     /* a snapshot of all known offers */
    WEIR_COMMAND_CHECK,      /* have every provider looked at */
    WEIR_COMMAND_SETTLE,     /* post everything up to now, so that bills are complete */
    WEIR_COMMAND_AMEND,      /* post a correction */
    WEIR_COMMAND_CLOSE,      /* close a month, or seal it */
    WEIR_COMMAND_RULE,       /* add a rule of prices, or end it */
    WEIR_COMMAND_PRICE,      /* post prices */
    WEIR_COMMAND_INVOICE,    /* keep lines of a provider's bill */
    WEIR_COMMAND_ACCRUED,    /* what running tasks have cost since they were last settled */
    WEIR_COMMAND_STATUS,
    WEIR_COMMAND_SANDBOX_FAULT,
    WEIR_COMMAND_ACCESS,     /* users, members of projects, tokens */
    WEIR_COMMAND_POLICY_SET,
    WEIR_COMMAND_POLICY_REMOVE,
    WEIR_COMMAND_ALERT,      /* acknowledge, silence, close; test a receiver */
    WEIR_COMMAND_FINDING,    /* what a check found, for alerts */
    WEIR_COMMAND_LOGIN,      /* somebody with a signed token is to become known */
    WEIR_COMMAND_AGENT_CERTIFY,
    WEIR_COMMAND_AGENT_JOIN,
    WEIR_COMMAND_AGENT_SYNC,
    WEIR_COMMAND_AGENT_REPORT,
    WEIR_COMMAND_MAX,
};

enum weir_budget_given {
    WEIR_BUDGET_GIVEN_SCOPE = 1 << 0,
    WEIR_BUDGET_GIVEN_AMOUNT = 1 << 1,
    WEIR_BUDGET_GIVEN_SPAN = 1 << 2,
    WEIR_BUDGET_GIVEN_CLOUD_ONLY = 1 << 3,
    WEIR_BUDGET_GIVEN_THRESHOLDS = 1 << 4,
};

enum weir_leases_op {
    WEIR_LEASES_OP_AUDIT, /* what is known */
    WEIR_LEASES_OP_LOOK,  /* have every provider asked anew */
    WEIR_LEASES_OP_DOWN,  /* rent nothing any more, end every machine */
    WEIR_LEASES_OP_UP,    /* rent again */
};

enum weir_quota_given {
    WEIR_QUOTA_GIVEN_SCOPE = 1 << 0,
    WEIR_QUOTA_GIVEN_COUNTS = 1 << 1, /* and the model of GPU */
    WEIR_QUOTA_GIVEN_LIMIT = 1 << 2,
    WEIR_QUOTA_GIVEN_SPAN = 1 << 3,
    WEIR_QUOTA_GIVEN_BORROW = 1 << 4,
};

enum weir_node_op {
    WEIR_NODE_OP_DRAIN,
    WEIR_NODE_OP_RESUME,
    WEIR_NODE_OP_REMOVE,
};

enum weir_access_op {
    WEIR_ACCESS_USER_SET, /* makes it where it is not there */
    WEIR_ACCESS_USER_REMOVE,
    WEIR_ACCESS_MEMBER_SET,
    WEIR_ACCESS_MEMBER_REMOVE,
    WEIR_ACCESS_TOKEN_MAKE,
    WEIR_ACCESS_TOKEN_REVOKE,
    WEIR_ACCESS_NODE_INVITE, /* name: of the node, "": any; reply is the answer */
    WEIR_ACCESS_NODE_REVOKE, /* name */
};

enum weir_alert_op {
    WEIR_ALERT_OP_ACK,
    WEIR_ALERT_OP_SILENCE,
    WEIR_ALERT_OP_CLOSE, /* it is over, a person says */
    WEIR_ALERT_OP_TEST,
    WEIR_ALERT_OP_RECEIVERS, /* reply: how they fare */
};

enum weir_finding {
    WEIR_FINDING_LEDGER,
    WEIR_FINDING_RECONCILIATION,
    WEIR_FINDING_LEAK,
};

/* Cost that is not in the ledger yet; a task may stand here more than once. */
struct weir_accrued {
    struct weir_task_id task;
    int64_t micro;
};

/* What authenticate could not find out by itself; the service's own. */
struct weir_login;

/* Jobs of the shape wait for a budget or quota, where their payer is of the set. */
struct weir_parked_note {
    uint32_t shape;
    uint32_t set;
    bool is_quota;
    char name[WEIR_BUDGET_NAME_SIZE];
};

struct weir_command {
    enum weir_command_kind kind;
    void (*done)(struct weir_command *cmd);
    void *ctx; /* the poster's */
    const struct weir_identity *who; /* asks for it; owned by the poster. NULL: nobody in particular */
    const char *peer;                /* from where; likewise */

    /* in, by kind */
    union {
        struct {
            const struct weir_spec *spec; /* owned by the poster */
            const char *user;
            struct weir_sv spec_json;     /* canonical, made by the poster */
            struct weir_sv tags_json;
            bool dry_run;
        } submit;
        struct {
            struct weir_job_id job;
            uint32_t index; /* array index; used where has_index */
            bool has_index;
        } cancel; /* also EXPLAIN */
        struct {
            struct weir_job_id job;
            struct weir_dur timeout;
        } wait;
        struct {
            struct weir_job_id job; /* 0: all jobs */
        } accrued;
        struct {
            struct weir_node_id node;
            enum weir_node_op op;
        } node;
        struct {
            struct weir_lease_id lease;
        } lease;
        struct {
            enum weir_leases_op op;
        } leases; /* each answers with the comparison in reply */
        struct {
            const char *name;
            int64_t weight;                     /* < 0: leave */
            int64_t delay_cost_micro_per_hour;  /* < 0: leave */
        } project;
        struct {
            enum weir_access_op op;
            const char *user;            /* NULL: who asks */
            const char *role;            /* NULL: leave, or as the user's */
            int disabled;                /* < 0: leave */
            const struct json_t *projects; /* of a user: {"vision": "owner", "speech": null}; null: no more. NULL: leave */
            const char *project;         /* MEMBER_* */
            const char *name;            /* TOKEN_MAKE */
            const char *only;            /* TOKEN_MAKE: names of projects in a comma list; "": all of the user's */
            struct weir_wall expires;    /* TOKEN_MAKE; 0: never */
            char token[17];              /* TOKEN_REVOKE: its id; TOKEN_MAKE, out; then reply is the secret */
        } access;
        struct {
            struct weir_login *login; /* malloc'ed, freed by the poster */
        } login;
        struct {
            struct weir_correction_row row; /* id: the next one; at is filled in; kind a literal */
            struct weir_amendment *part;    /* malloc'ed, freed by the poster */
            size_t n;
        } amend;
        struct {
            struct weir_close_row row; /* id, at and last_posting are filled in; who is the poster's */
            bool seal; /* it is closed: keep its sums and digest */
        } close;
        struct {
            struct weir_rule_row row; /* id and at are filled in; strings are the poster's */
            bool end;                 /* name and until alone: it ends then */
        } rule;
        struct {
            uint64_t ratings; /* how often prices had been posted */
            struct weir_amendment *part; /* malloc'ed, freed by the poster */
            size_t n;
        } price;
        struct {
            struct weir_invoice_line_row *line; /* malloc'ed, freed by the poster */
            size_t n;
        } invoice;
        struct {
            struct weir_budget def; /* its project and user by the names below */
            const char *project;
            const char *user;
            int64_t charged_micro; /* what was spent in the span before it was set */
            unsigned given; /* WEIR_BUDGET_GIVEN_*: what of def; the rest stays as it was */
        } budget; /* REMOVE: the name alone */
        struct {
            const char *name;
            const struct weir_policy_row *row; /* SET; owned by the poster */
        } policy;
        struct {
            struct weir_quota def; /* its project or user by the name below */
            const char *whose;
            unsigned given; /* WEIR_QUOTA_GIVEN_*, as with a budget */
        } quota; /* REMOVE: the name alone */
        struct {
            bool live; /* the providers are asked now, and waited for */
        } offers;
        struct {
            enum weir_alert_op op;
            uint64_t id;
            struct weir_wall until; /* SILENCE */
            const char *receiver;   /* TEST */
            uint64_t cursor;        /* RECEIVERS: so many come before, and at most limit are told */
            uint64_t limit;
        } alert;
        struct {
            enum weir_finding kind;
            bool is_wrong;
            char name[160]; /* of what was checked */
            char text[400];
        } finding;
        struct {
            const char *what;
        } fault;
        struct {
            const struct json_t *body; /* parsed, shape not yet checked; owned by the poster */
            struct weir_lease_id token_lease; /* of the credential that was shown; 0: none */
            const char *peer;          /* address that the agent called from */
            /* Has the agent closed its end of the connection (it was killed) while the command waited? */
            bool (*is_hung_up)(const struct weir_command *cmd);
        } agent;
    } u;

    /* out */
    int code; /* 0 or -WEIR_E*, with err */
    struct weir_err err;
    struct weir_job_id job; /* SUBMIT */
    bool flag;              /* WAIT_JOB: has ended; dry run: possible; EXPLAIN: it is waiting */
    struct weir_explain explain; /* EXPLAIN, dry run */
    struct weir_budget_view limit; /* EXPLAIN, dry run: the budget that is in the way; id 0: none */
    struct weir_quota_view quota;  /* the same of quotas */
    struct weir_told_quota provider_quota; /* the same of what providers allow */
    char no_rate[WEIR_CURRENCY_SIZE]; /* EXPLAIN, dry run: offers in this currency were left out, as it has no rate; "": none were */
    uint64_t room;               /* dry run: tasks of the job for which there is room */
    const struct weir_offer *offer; /* OFFERS; EXPLAIN and dry run, to name the candidates: borrowed during done only */
    size_t n_offers;
    const struct weir_learned *learned; /* OFFERS: what is believed of some, by offer; borrowed as they are */
    size_t n_learned;
    const struct weir_told_quota *told; /* OFFERS: what providers allow; borrowed as they are */
    size_t n_told;
    struct weir_accrued *accrued; /* ACCRUED: malloc'ed, freed by the poster */
    size_t n_accrued;
    struct weir_parked_note *parked; /* ACCRUED: who is parked, and the set of each payer from 1; malloc'ed, freed by the poster */
    size_t n_parked;
    uint32_t *payer_set;
    size_t n_payers;
    struct weir_str reply; /* STATUS, AGENT_*, OFFERS (how the prices came to be known): a JSON document; SUBMIT: a warning, or nothing; released by the poster. Cap set by the service. */
    struct weir_command *next; /* the service's own */
    void *service_data;        /* the service's own */
};

struct weir_service;
struct weir_service_ops {
    void (*post)(struct weir_service *s, struct weir_command *cmd);
    /* Thread safe, and never waits. Whom a bearer token belongs to; the caller releases ret->scope. Where *ret_login is set, that is
     * not known yet: post a WEIR_COMMAND_LOGIN with it, and ask again when that has succeeded. Errors: -WEIR_EUNAUTH; -WEIR_EUNAVAIL (the
     * keys of the token's issuer are not to be had). */
    int (*authenticate)(struct weir_service *s, struct weir_sv token, struct weir_identity *ret, struct weir_login **ret_login, struct weir_err *err);
    /* Thread safe. Whose the key of a client's certificate is, by its hash (weir_request_certificate). Errors: -WEIR_EUNAUTH. */
    int (*authenticate_key)(struct weir_service *s, const char *key, struct weir_identity *ret, struct weir_err *err);
    /* Thread safe: is who authenticated so still who they were, with the same rights? */
    bool (*is_still)(struct weir_service *s, const struct weir_identity *who);
    /* Thread safe: is this the live session of the node? For log uploads, which do not go through the deciding
     * thread. Errors: -WEIR_ECONFLICT. */
    int (*check_session)(struct weir_service *s, struct weir_node_id node, const char *session, struct weir_err *err);
    /* fn is called from the deciding thread after commits that changed jobs or events (at most every 20 ms);
     * streams that follow something look again then. One subscriber. */
    void (*subscribe)(struct weir_service *s, void (*fn)(void *ctx), void *ctx);
    /* Thread safe. An open descriptor of the program that agents on such processors run ("x86_64", "aarch64"); the caller closes it. May be
     * NULL: none is given away. Errors: -WEIR_ENOTFOUND. */
    int (*open_program)(struct weir_service *s, const char *arch, struct weir_err *err);
};
struct weir_service {
    const struct weir_service_ops *ops;
};

/* ---- what the program gives to the API ---- */

/* With whom people sign in, for the command line. */
struct weir_api_issuer {
    const char *issuer;
    const char *audience;
    const char *client_id; /* "": the command line cannot */
};

struct weir_api_conf {
    struct weir_service *service;
    struct weir_store *reader[2]; /* one per server thread, each used under its own lock */
    struct weir_gpu_table *gpus;  /* the API guards its own use with the lock below */
    void *gpus_lock;              /* pthread_mutex_t; the deciding thread takes it too when it interns */
    const struct weir_clock *clock;
    const char *log_dir;  /* DIR/<job>/<ordinal>.<attempt>.log */
    const char *currency; /* "USD" */
    const char *listen;   /* for the Host check */
    const char *os_user;  /* user name for same-user connections */
    bool host_needs_token; /* connections of the broker's own user are nobody's without one */
    uint64_t log_bytes_max; /* per run */
    const char *ticket_key; /* signs log tickets; a secret of this broker that outlives it */
    const struct weir_api_issuer *issuer;
    size_t n_issuers;
};

struct weir_api;
struct weir_http_request;
int weir_api_new(struct weir_api **ret, const struct weir_api_conf *conf, struct weir_err *err);
/* All requests must have been answered. */
void weir_api_free(struct weir_api *a);
/* The server's handler (net/server.h): ctx is the API. */
void weir_api_handle(void *api, struct weir_http_request *r);
/* The OpenAPI 3 document, written from the route table. */
void weir_api_openapi(struct weir_str *out);
enum { WEIR_LOG_TICKET_SIZE = 33 };
/*
 * What the agent of the node shows that the rank of the run was begun there, whatever has become of the task since: it gets it with the start command
 * and gives it back with the log. Nobody else has it, and none is good for another node.
 */
void weir_api_log_ticket(const char *ticket_key, struct weir_run_id run, uint32_t rank, struct weir_node_id node,
                         char ret[static WEIR_LOG_TICKET_SIZE]);
/* A job log of a run; made with its directories. */
void weir_api_log_path(const char *log_dir, struct weir_run_id run, char *buf, size_t size);
