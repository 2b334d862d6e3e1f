/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Shared by the files of src/api. A request goes: route table -> who may -> parameters -> handler. A
 * handler answers at once from a reader of the store, or posts a command and answers when it is
 * done. What must read the store after a command is not done on the deciding thread (which must not
 * wait for a reader) but on one of two lanes: threads of the API with a queue each.
 */

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api/service.h"
#include "base/clock.h"
#include "base/json.h"
#include "net/server.h"

enum {
    API_PARAMS_MAX = 12,
    API_PATH_VALUES_MAX = 2,
    API_PATH_VALUE_SIZE = 160,
    API_LOG_LOCKS = 64,
    API_LIST_LIMIT_MAX = 1000,
    API_LIST_LIMIT = 100,
    API_REPLY_BYTES_MAX = 64 << 20,
    API_AGENT_BODY_MAX = 4 << 20,
    API_SMALL_BODY_MAX = 16 << 10,
    API_LOG_BODY_MAX = 1 << 20,
    API_INVOICE_BODY_MAX = 2 << 20,
    API_JSON_DEPTH_MAX = 20,
    API_LOGINS_MAX = 3, /* of one request, before it is given up */
    API_ROUTES_MAX = 128,
    API_ZONE_NAME_MAX = 64,
};

/* What a route is about, and so who may call it: api_access in routes.c has the roles of each. */
enum api_role {
    API_ROLE_UNSET,   /* nobody: a row must say */
    API_ROLE_NONE,    /* no authentication */
    API_ROLE_AGENT,   /* the agents' calls */
    API_ROLE_CERTIFY, /* what an agent asks before it can join: its program, its certificate */
    API_ROLE_ADMIN,   /* of the installation */
    API_ROLE_OPERATE, /* does something to machines */
    API_ROLE_ANY,     /* reads what belongs to no project, or what is the caller's own */
    API_ROLE_JOBS,    /* reads what became of jobs */
    API_ROLE_LOGS,    /* reads what they wrote */
    API_ROLE_SUBMIT,
    API_ROLE_CANCEL,
    API_ROLE_HISTORY, /* reads what work there was and what it cost */
    API_ROLE_BILL,    /* reads what was spent */
    API_ROLE_SUMS,    /* reads sums over all projects */
    API_ROLE_BOOKS,   /* corrects them, by postings that stay */
    API_ROLE_MEMBERS, /* says who is in a project */
    API_ROLE_AUDIT,   /* reads who changed what */
    API_ROLE_LIMITS, /* reads budgets and quotas */
    API_ROLE_BUDGET_SET,
    API_ROLE_QUOTA_SET,
    API_ROLE_ALERTS,    /* reads what is the matter */
    API_ROLE_ALERT_SET, /* does something about it */
    API_ROLE_POLICIES, /* reads who may use what */
    API_ROLE_MAX,
};

/* How far somebody reaches with a route. */
enum api_reach {
    API_REACH_NO,
    API_REACH_OWN,   /* what belongs to their own projects; the rest is as if it were not there */
    API_REACH_WHOLE, /* all, for those who are in every project; others nothing */
    API_REACH_ALL,
};

struct api_access {
    enum weir_role needs; /* in the project, where the reach is OWN */
    enum api_reach reach[WEIR_ROLE_MAX];
};
extern const struct api_access api_access[API_ROLE_MAX];

/* ---- shapes of bodies: checked on the way in, described in the OpenAPI document ---- */

enum api_type {
    API_STRING,
    API_TIME,
    API_INT,
    API_UINT,
    API_BOOL,
    API_REF,  /* an object of the named schema */
    API_LIST, /* an array of objects of the named schema */
    API_STRINGS,
    API_UINTS,
    API_MAP_STRING,
    API_MAP_UINT,
    API_OBJECT, /* any object */
};

enum api_field_flags {
    API_NULL = 1 << 0,     /* may be null */
    API_OPTIONAL = 1 << 1, /* may be absent */
};

typedef const char *api_word_fn(unsigned i); /* the i-th allowed word */

struct api_field {
    const char *name;
    enum api_type type;
    unsigned flags;
    const char *ref;
    api_word_fn *word;
    unsigned words;
    const char *summary;
};

struct api_schema {
    const char *name;
    const char *summary;
    const struct api_field *field; /* ends with a NULL name */
    bool open;                     /* other keys may come */
};

/* Ends with a NULL name. */
extern const struct api_schema api_schemas[];
const struct api_schema *api_schema_find(const char *name);
/* Are the keys known and of the right type? For request bodies. */
int api_schema_check(const struct api_schema *s, const json_t *body, struct weir_err *err);

const char *api_job_state_word(unsigned i);
const char *api_task_state_word(unsigned i);
enum { API_VIEWS = 2 };
const char *api_view_word(unsigned i);
const char *api_rule_kind_word(unsigned i);
const char *api_rule_class_word(unsigned i);
enum { API_ALERT_STATES = 2 };
const char *api_alert_state_word(unsigned i);
enum { API_CORRECTION_KINDS = 3 };
const char *api_correction_word(unsigned i);

/* ---- routes ---- */

enum api_param_type {
    API_PARAM_UINT,
    API_PARAM_BOOL,
    API_PARAM_TEXT, /* min and max bound the length */
    API_PARAM_TIME,
    API_PARAM_WORDS, /* a comma list of words; value is a mask */
};

struct api_param {
    const char *name;
    enum api_param_type type;
    bool is_required;
    uint64_t min;
    uint64_t max;
    api_word_fn *word;
    unsigned words;
    const char *summary;
};

struct api_value {
    bool is_given;
    bool flag;
    uint64_t number;
    struct weir_wall time;
    const char *text; /* borrowed until the request is answered */
};

struct api_request;

enum api_route_errors {
    API_NOT_FOUND = 1 << 0,
    API_CONFLICT = 1 << 1,
    API_IMPOSSIBLE = 1 << 2,
    API_UNAVAILABLE = 1 << 3,
};

struct api_route {
    const char *method;
    const char *path; /* "/v1/jobs/{job}/cancel" */
    const char *id;   /* operationId */
    const char *tag;
    enum api_role role;
    int status;        /* of success */
    const char *reply; /* schema; or a media type (has a '/') */
    bool is_list;      /* {"items": [reply], "next": cursor} */
    const char *body;  /* schema; "application/octet-stream"; NULL: none */
    size_t body_max;
    unsigned errors;                    /* API_NOT_FOUND, ... that it may answer besides the usual ones */
    const struct api_param *path_param; /* in the order of the path; end with a NULL name */
    const struct api_param *param;      /* of the query */
    void (*handle)(struct api_request *rq);
    const char *summary;
};

/* Ends with a NULL method. */
extern const struct api_route api_routes[];

/* ---- one request ---- */

struct api_request {
    struct weir_api *api;
    struct weir_http_request *http;
    const struct api_route *route;
    struct weir_identity who; /* the dispatcher's reference to its scope */
    enum api_reach reach;
    char path_text[API_PATH_VALUES_MAX][API_PATH_VALUE_SIZE];
    struct api_value path[API_PATH_VALUES_MAX];
    struct api_value value[API_PARAMS_MAX]; /* as route->param */
    struct weir_err err;
};

/* The value of a query parameter of the route; asserts that the route has it. */
const struct api_value *api_param(const struct api_request *rq, const char *name);
uint64_t api_number(const struct api_request *rq, const char *name, uint64_t fallback);
bool api_flag(const struct api_request *rq, const char *name);
/* NULL where not given. */
const char *api_text(const struct api_request *rq, const char *name);

/* The projects that the caller sees, in *room; NULL: all. */
const struct weir_project_set *api_within(enum api_reach reach, const struct weir_identity *who, struct weir_project_set *room);
/* A copy with a reference of its own to the scope; and its end. */
struct weir_identity api_who_copy(const struct weir_identity *who);
void api_who_release(struct weir_identity *who);
/* Is the job there, and in a project in which the caller has what the route needs? Of what they may not see they learn no
 * more than of what is not there. Errors: -WEIR_ENOTFOUND, -WEIR_EDENIED, and the store's. */
int api_check_job(struct api_request *rq, struct weir_job_id job);

/* Answers. */
void api_fail(struct weir_http_request *r, int code, struct weir_err *err);
void api_fail_status(struct weir_http_request *r, int status, const char *name, const char *text,
                     const struct weir_http_header *headers, size_t n);
/* Sends what out holds and empties it; where it has overflowed, says so instead. */
void api_reply(struct weir_http_request *r, int status, struct weir_str *out);
/* The body as JSON, depth and duplicates checked; NULL: err. The caller drops the reference. */
json_t *api_body(struct api_request *rq);

/* ---- a request under way ---- */

enum api_lane { API_LANE_QUICK, API_LANE_SLOW, API_LANES };

struct api_call {
    struct weir_command cmd; /* first: done gives it back */
    struct weir_api *api;
    struct weir_http_request *http;
    const struct api_route *route;
    struct api_call *next; /* of its lane */
    /* on the lane: answers; the call is freed after it */
    void (*finish)(struct api_call *call);
    /* api_price */
    struct weir_wall cut;
    void (*then)(struct api_call *call);
    enum api_lane lane;
    json_t *body;
    struct weir_spec *spec;
    struct weir_str text; /* canonical specification and tags */
    struct weir_identity who; /* with a reference of its own */
    enum api_reach reach;
    char name[WEIR_SPEC_NAME_MAX + 1];
    char filter_user[WEIR_SPEC_NAME_MAX + 1];
    char peer[96];
    bool flag;
    void *data; /* malloc'ed, freed with the call */
    /* what the query asked for, where the lane needs it */
    struct api_value value[API_PARAMS_MAX];
};

struct api_call *api_call_new(struct api_request *rq, enum weir_command_kind kind);
/* The same of what the path names, which is copied to call->name. */
struct api_call *api_named_call(struct api_request *rq, enum weir_command_kind kind, void (*finish)(struct api_call *call));
/* "Removed": that what was asked for is not there any more. The second says so of call->name. */
void api_reply_removed(struct weir_http_request *http, const char *what);
void api_removed_finish(struct api_call *call);
/* A second command for the same request: answer by this call now, and no more by the first. */
struct api_call *api_call_follow(const struct api_call *call, enum weir_command_kind kind);
void api_call_free(struct api_call *call);
/* Tells the alerts what a check found (wrong NULL: nothing), then answers the call's request with reply, which is taken. */
void api_finding(const struct api_call *call, enum weir_finding kind, const char *name, const char *wrong, struct weir_str *reply);
/* Hands the command to the service. Unless the caller has set cmd.done: finish is called on the lane
 * when the command has succeeded, and where it has not, the error is answered. */
void api_call_post(struct api_call *call);
/* The same where rc is 0; else answers the request with the error, and frees the call. */
void api_call_post_or_fail(struct api_request *rq, struct api_call *call, int rc);
/* call->name as the name of what the call is about, "budget". Errors: -WEIR_EINVAL: it is too long. */
int api_call_take_name(const struct api_call *call, const char *what, char *ret, size_t size, struct weir_err *err);
/* Queues the call on its lane. */
void api_call_defer(struct api_call *call);
const struct api_value *api_call_param(const struct api_call *call, const char *name);

/* ---- the API ---- */

struct api_lane_state {
    pthread_t thread;
    pthread_cond_t wake;
    struct api_call *head;
    struct api_call **tail;
    struct weir_api *api;
    bool is_started;
};

struct api_stream; /* logs.c, events.c */

struct weir_api {
    struct weir_api_conf conf;
    char *listen_host;
    struct weir_mono started;
    pthread_mutex_t reader_lock[2];
    atomic_uint reader_turn;
    pthread_mutex_t log_lock[API_LOG_LOCKS];
    pthread_mutex_t lane_lock;
    struct api_lane_state lane[API_LANES];
    bool is_stopping;
    pthread_mutex_t stream_lock;
    struct api_stream *streams;
    /* counters for /metrics, by route and class of status */
    atomic_ullong n_requests[API_ROUTES_MAX];
    atomic_ullong n_refused;
};

/* A reader of the store that nobody else uses until it is put back. */
struct weir_store *api_reader_take(struct weir_api *a, unsigned *which);
void api_reader_put(struct weir_api *a, unsigned which);

/* On the slow lane: posts what prices of open months differ by from what the rules say, then goes on with `then`, on a call that has
 * data, name, filter_user and value of this one. cut: no price is for time on both sides of it; 0: none. rating.c. */
void api_price(struct api_call *call, struct weir_wall cut, void (*then)(struct api_call *call));
/* What of prices is to be posted, by the ledger and the rules in s; none where all is as the rules say. *ret_ratings: how many ratings were posted
 * before. The caller frees *ret. */
int api_rate(struct weir_store *s, struct weir_wall cut, struct weir_wall now, uint64_t *ret_ratings, struct weir_amendment **ret, size_t *ret_n,
             struct weir_err *err);

/* Proves closed months while the ledger goes by; and takes their sums. closes.c. */
struct api_close_proof;
/* Reads what was closed. The caller frees *ret. */
int api_close_proof_new(struct api_close_proof **ret, struct weir_store *s, struct weir_err *err);
void api_close_proof_free(struct api_close_proof *p);
void api_close_proof_add(struct api_close_proof *p, const struct weir_posting *row);
/* How many months hold; the rest has err, which names the first that does not. */
uint64_t api_close_proof_end(struct api_close_proof *p, struct weir_err *err);

/* The number that the next correction will have, unless another comes first. */
int api_next_correction(struct weir_store *s, uint64_t *ret, struct weir_err *err);
/* Whose budgets count each of them: the job's, else those of what the machine was rented for. */
int api_find_payers(struct weir_store *s, struct weir_amendment *part, size_t n, struct weir_err *err);

/* ---- streams that follow something ---- */

struct api_stream {
    struct weir_api *api;
    struct weir_stream *stream; /* set once it is registered */
    struct api_stream *next;
    struct api_stream **prev;
    struct weir_identity who; /* with a reference of its own; released by api_stream_end */
    _Atomic uint64_t log_key; /* of the run whose log it follows; 0: events */
};

uint64_t api_log_key(struct weir_run_id run, uint32_t rank);
/* Begins the answer; takes s (freed by free_fn after the end). pull as weir_stream_pull_fn. */
void api_stream_begin(struct api_stream *s, struct weir_http_request *r, const char *content_type,
                      weir_stream_pull_fn *pull, void (*done)(void *ctx));
/* May its caller still have what they asked for? A stream ends with the credential it was begun with. */
bool api_stream_may(const struct api_stream *s);
/* Takes it off the list; called by done. */
void api_stream_end(struct api_stream *s);
/* Wakes the streams of a log, or all with key 0. */
void api_streams_wake(struct weir_api *a, uint64_t log_key);

/* ---- objects as JSON ---- */

/* A job's line with what must be looked up beside it. Strings are owned. */
struct api_job {
    struct weir_job_view view;
    char *name;
    char *project;
    char *user;
    char *tags_json; /* NULL: not asked for */
    char *spec_json; /* NULL: not asked for */
    char *array;     /* NULL: no array */
    char *gpus;      /* NULL: none */
    int64_t cost_micro;     /* in the ledger */
    struct weir_footprint footprint;
    int64_t accruing_micro; /* not there yet */
    bool impossible;        /* nothing can run what waits of it */
    const struct weir_parked_note *held; /* a budget or quota has no room for what waits of it; borrowed from the command; NULL */
    /* of the task that speaks for it */
    bool has_task;
    char *pool;
    char *node;
    struct weir_node_id node_id;
    uint32_t other_nodes; /* where its first tasks are besides */
    enum weir_reason reason;
    bool has_exit;
    int32_t exit_code;
};

/* Copies a row; full: with tags and spec. */
void api_job_set(struct api_job *ret, const struct weir_job_row *row, bool is_full);
void api_job_release(struct api_job *job);
/* Looks up the task that speaks for the job. */
int api_job_fill(struct weir_store *s, struct api_job *job, struct weir_err *err);
void api_job_json(struct weir_json *j, const struct api_job *job, const char *currency);
/* get_job and all the rest. Errors: -WEIR_ENOTFOUND, and the store's. */
int api_job_get(struct weir_store *s, struct weir_job_id id, bool is_full, struct api_job *ret, struct weir_err *err);

/* Cost of running tasks that is not in the ledger yet, by job and by task. */
struct api_accrued {
    struct weir_map job;
    struct weir_map task;
    const struct weir_command *cmd;
};
void api_accrued_set(struct api_accrued *ret, const struct weir_command *cmd);
void api_accrued_release(struct api_accrued *a);
/* What the job is parked for; NULL: nothing. */
const struct weir_parked_note *api_accrued_parked(const struct api_accrued *a, const struct weir_job_view *job);
/* Why a task of the job waits, where that says more than its own reason. */
enum weir_reason api_waiting_reason(const struct api_job *job, enum weir_reason own);
int64_t api_accrued_job(const struct api_accrued *a, struct weir_job_id job);
int64_t api_accrued_task(const struct api_accrued *a, struct weir_task_id task);

/* The ranges of an array from its text. n 0: no array. */
struct api_array {
    struct weir_range range[WEIR_SPEC_RANGES_MAX];
    size_t n;
    uint32_t n_tasks;
};
/* Ends {"items": [.. with "next": the id to go on from, null at the end. */
void api_list_end(struct weir_json *j, bool has_more, uint64_t cursor);

int api_array_parse(const char *text, uint32_t n_tasks, struct api_array *ret, struct weir_err *err);
/* The ordinal of an index that a person wrote. Errors: -WEIR_ENOTFOUND. */
int api_array_find(const struct api_array *a, struct weir_job_id job, uint64_t index, uint32_t *ret,
                   struct weir_err *err);
void api_task_text(const struct api_array *a, struct weir_task_id id, char *buf, size_t size);

struct api_node_names {
    struct weir_map by_id; /* -> index + 1 */
    char **name;
    size_t n;
    size_t size;
};
int api_node_names_load(struct weir_store *s, struct api_node_names *ret, struct weir_err *err);
void api_node_names_release(struct api_node_names *n);
/* NULL where not known. */
const char *api_node_name(const struct api_node_names *n, uint64_t id);

/* What is known of something; null where that is nothing, and there is some. */
void api_known_json(struct weir_json *j, const char *key, int64_t known, bool has_unknown);
/* energy_mj and carbon_ug (null: nobody knows any of it), carbon_unknown_micro. */
void api_footprint_json(struct weir_json *j, const struct weir_footprint *f);
/* accruing_micro: what the row's cost lacks, as it is not in the ledger yet. */
void api_task_json(struct weir_json *j, const struct weir_task_row *row, int64_t accruing_micro,
                   const struct api_array *array, const struct api_node_names *names, const char *currency);
void api_node_json(struct weir_json *j, const struct weir_node_row *row, const char *currency);
/* show_job: say for which job it was rented. */
void api_lease_json(struct weir_json *j, const struct weir_lease_row *row, bool show_job, int64_t cost_micro, const char *currency);
/* The members of a project, as items of an open array. */
int api_members_json(struct weir_store *s, const char *project, struct weir_json *j, struct weir_err *err);
void api_event_json(struct weir_json *j, const struct weir_event_row *row, const struct api_node_names *names,
                    const struct api_array *array);

/* ---- handlers, by file ---- */

void api_handle_health(struct api_request *rq);
void api_handle_version(struct api_request *rq);
void api_handle_issuers(struct api_request *rq);
void api_handle_program(struct api_request *rq);
void api_handle_program_sum(struct api_request *rq);
void api_handle_openapi(struct api_request *rq);
void api_handle_status(struct api_request *rq);
void api_handle_metrics(struct api_request *rq);
void api_handle_fault(struct api_request *rq);

void api_handle_submit(struct api_request *rq);
void api_handle_jobs(struct api_request *rq);
void api_handle_job(struct api_request *rq);
void api_handle_cancel(struct api_request *rq);
void api_handle_wait(struct api_request *rq);
void api_handle_tasks(struct api_request *rq);
void api_handle_explain(struct api_request *rq);
void api_handle_history(struct api_request *rq);

void api_handle_log(struct api_request *rq);
void api_handle_log_upload(struct api_request *rq);
void api_handle_events(struct api_request *rq);

void api_handle_offers(struct api_request *rq);
void api_handle_pools(struct api_request *rq);
void api_handle_nodes(struct api_request *rq);
void api_handle_leases(struct api_request *rq);
void api_handle_drain(struct api_request *rq);
void api_handle_resume(struct api_request *rq);
void api_handle_remove(struct api_request *rq);
void api_handle_lease_end(struct api_request *rq);
void api_handle_leases_audit(struct api_request *rq);
void api_handle_check_providers(struct api_request *rq);
void api_handle_leases_look(struct api_request *rq);
void api_handle_leases_down(struct api_request *rq);
void api_handle_leases_up(struct api_request *rq);

void api_handle_projects(struct api_request *rq);
void api_handle_project(struct api_request *rq);
void api_handle_project_set(struct api_request *rq);
void api_handle_budgets(struct api_request *rq);
void api_handle_budget(struct api_request *rq);
void api_handle_budget_set(struct api_request *rq);
void api_handle_budget_remove(struct api_request *rq);
void api_handle_quotas(struct api_request *rq);
void api_handle_quota(struct api_request *rq);
void api_handle_quota_set(struct api_request *rq);
void api_handle_quota_remove(struct api_request *rq);

/* ---- scopes.c: whom a budget or quota is for ---- */

void api_scope_json(struct weir_json *j, uint8_t scope, const char *project, const char *user, const char *tag);
/* May the caller see it? Who reaches only their own sees the organisation's, their projects' and their own. */
bool api_scope_concerns(const struct api_call *call, uint8_t scope, struct weir_project_id project, const char *user);
void api_handle_bill(struct api_request *rq);
void api_handle_bill_check(struct api_request *rq);
void api_handle_charges(struct api_request *rq);
void api_handle_corrections(struct api_request *rq);
void api_handle_correction_add(struct api_request *rq);
void api_handle_rules(struct api_request *rq);
void api_handle_rule_add(struct api_request *rq);
void api_handle_rule_end(struct api_request *rq);
void api_handle_closes(struct api_request *rq);
void api_handle_close(struct api_request *rq);
void api_handle_invoice_lines(struct api_request *rq);
void api_handle_reconcile(struct api_request *rq);
void api_handle_reconcile_outcome(struct api_request *rq);

void api_handle_alerts(struct api_request *rq);
void api_handle_alert_ack(struct api_request *rq);
void api_handle_alert_silence(struct api_request *rq);
void api_handle_alert_close(struct api_request *rq);
void api_handle_receivers(struct api_request *rq);
void api_handle_receiver_test(struct api_request *rq);

void api_handle_policies(struct api_request *rq);
void api_handle_policy(struct api_request *rq);
void api_handle_policy_set(struct api_request *rq);
void api_handle_policy_remove(struct api_request *rq);
void api_handle_policy_test(struct api_request *rq);

void api_handle_whoami(struct api_request *rq);
void api_handle_users(struct api_request *rq);
void api_handle_user_set(struct api_request *rq);
void api_handle_user_remove(struct api_request *rq);
void api_handle_member_set(struct api_request *rq);
void api_handle_member_remove(struct api_request *rq);
void api_handle_tokens(struct api_request *rq);
void api_handle_token_make(struct api_request *rq);
void api_handle_token_revoke(struct api_request *rq);
void api_handle_audit(struct api_request *rq);

void api_handle_invite(struct api_request *rq);
void api_handle_certificate_revoke(struct api_request *rq);
void api_handle_certify(struct api_request *rq);
void api_handle_join(struct api_request *rq);
void api_handle_sync(struct api_request *rq);
void api_handle_report(struct api_request *rq);
