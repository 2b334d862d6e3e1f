/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The broker's inside: what its files share. Everything here is touched by the deciding thread only,
 * unless said otherwise.
 */

#include <dirent.h>
#include <pthread.h>
#include <uv.h>

#include "api/proof.h"
#include "api/service.h"
#include "base/json.h"
#include "base/map.h"
#include "base/vec.h"
#include "broker.h"
#include "cloud/catalogue.h"
#include "cloud/exchange.h"
#include "cloud/provider.h"
#include "config.h"
#include "engine.h"
#include "link_gateway.h"
#include "net/server.h"
#include "net/tls.h"
#include "spec/policy.h"

#define BROKER_DB_NAME "weir.db" /* in the data directory */

enum {
    SESSION_SIZE = 33,
    TOKEN_BYTES = 24, /* of a bearer token, before hex */
    TOKEN_SIZE = 2 * TOKEN_BYTES + 8, /* as text, with what may stand before it */
    LOGINS_MAX = 4096, /* signed tokens of issuers that are known at a time */
    AGENT_RUNS_MAX = 65536,
};

/* ---- agents.c: sessions and commands ---- */

struct agent_run {
    struct weir_run_id run;
    uint32_t rank;
    uint32_t gpu_mask;
    bool started; /* the agent said so */
    uint64_t start_seq; /* of its start command; 0: of a session before this broker's start; START_UNSENT: none yet */
};
#define START_UNSENT UINT64_MAX

struct agent_command {
    uint64_t seq;
    char *json;
};

struct agent {
    struct weir_node_id node;
    struct weir_lease_id lease;
    char session[SESSION_SIZE]; /* "" until it joined after this broker's start */
    uint64_t next_seq;
    uint64_t given_seq; /* commands up to this one have been given to the agent, whether or not they arrived */
    WEIR_VEC(struct agent_command) queue; /* not yet acknowledged */
    WEIR_VEC(struct agent_run) runs;      /* placed here and not ended */
    struct weir_command *parked;          /* its long poll */
    uint64_t parked_until_ms;
    uint64_t seen_ms;
    uint64_t boot_hash; /* of the kernel boot id that its session was opened with */
    uint64_t gpu_hash[WEIR_NODE_GPUS_MAX]; /* of its devices' own names; 0: it has no name */
    uint32_t n_gpus;
    bool declared; /* a person said what it offers; see 0002-agent-protocol.md, "declaration" */
    bool lost; /* the core was told */
    bool lost_draining; /* was being drained when it was lost: goes on with that when it is back */
    uint32_t host_failures;   /* pauses in a row because its host could start nothing */
    uint64_t paused_until_ms; /* of the pause under way; 0: none */
    struct weir_wall lease_expires;
};

/* A run that ends before its agent has begun it, once the state may be changed again. */
struct unbegun {
    struct weir_node_id node;
    struct weir_run_id run;
    enum weir_reason reason;
};

/* What start commands and explanations need of a job: its stored spec, parsed once and not per task. */
struct job_info {
    uint64_t job;
    struct weir_spec *spec;
    char *spec_json;
};
enum { JOB_INFO_SLOTS = 256 };

/* ---- leases.c: providers ---- */

struct call; /* leases.c */

/* What a provider listed of ours. */
struct sweep_row {
    char instance[WEIR_INSTANCE_ID_SIZE];
    char token[WEIR_TOKEN_SIZE];
    uint8_t state; /* enum weir_instance_state */
};
struct sweep {
    struct weir_wall at; /* it was complete; 0: never */
    char text[256];      /* why the one after it failed; "" */
    WEIR_VEC(struct sweep_row) row;
};

/* What a provider told of its prices last. */
struct feed {
    struct weir_wall at; /* of its last answer; 0: none yet */
    uint64_t at_ms;
    bool failed;    /* it gave none when it was asked last: what is known is older */
    bool wanted;    /* somebody waits for a fresh one */
    char no_rate[WEIR_CURRENCY_SIZE]; /* offers in it were left out, as it has no rate; "": none */
    char text[256]; /* what is the matter; "" */
};

/* What a provider told last of how much it allows. */
struct quota_feed {
    uint64_t due_ms;
    bool busy;
    bool wanted;          /* somebody waits for a fresh one */
    bool came;            /* an answer did, if a failure: offers wait for the first */
    struct weir_wall asked; /* when the last that was asked was */
    struct weir_wall at;  /* of the last that told any; 0: none did */
    char text[256];       /* what is the matter; "" */
};

struct provider {
    const struct weir_provider_ops *ops;
    struct weir_provider *p;
    uint64_t offers_due_ms;
    uint64_t sweep_due_ms;
    uint64_t sweep_round; /* of the alerts' book */
    bool offers_busy;
    bool sweep_busy;
    bool sweep_wanted; /* somebody waits for a fresh one */
    uint32_t sweep_pages; /* of the one under way */
    struct sweep sweep;      /* the last complete one */
    struct sweep sweep_part; /* the one under way */
    bool offers_known;
    struct feed feed;
    struct quota_feed quota;
    struct broker *broker;
    bool checking;                     /* it is looked at: see checks.c */
    struct weir_wall checked_at;       /* when the last look ended; 0: none has */
    WEIR_VEC(struct weir_check) check; /* what it found */
    uint32_t refused_in_a_row;  /* launches without capacity; halved by one that came to be */
    uint32_t made_in_a_row;     /* launches that came to be since the last without capacity */
    uint64_t launch_after_ms;   /* no launch before */
    uint32_t launching;         /* launches under way */
    WEIR_VEC(struct weir_offer) offers; /* what it told last */
};

enum lease_step {
    LEASE_STEP_LAUNCH,    /* launch is due */
    LEASE_STEP_DESCRIBE,  /* find out by token what became of a launch */
    LEASE_STEP_WATCH,     /* it exists: look after it now and then */
    LEASE_STEP_TERMINATE, /* terminate is due */
    LEASE_STEP_ENDING,    /* terminate was taken; wait for the proof */
    LEASE_STEP_PRICES,    /* it has ended; what it cost until then is asked for */
    LEASE_STEP_DONE,
};

/* An order that is stored until it is known to be carried out; seq 0: none. */
struct effect_id {
    uint64_t seq;
    uint32_t number;
};

struct price_change {
    int64_t micro_per_hour;
    struct weir_wall since;
};

struct lease_watch {
    struct weir_lease_id lease;
    struct provider *provider;
    enum lease_step step;
    bool busy;       /* a call is under way */
    bool want_end;   /* terminate as soon as it is known what to terminate */
    bool confirmed;
    bool noticed;
    bool unsure;     /* a launch went out whose answer did not come: it may yet arrive, whatever a later one was answered */
    bool is_withdrawn; /* what it would have to name is not configured any more: it is not launched */
    bool is_refused; /* a later one was, for that reason; it holds once the first can no longer show up */
    enum weir_refusal refusal;
    uint32_t tries;
    uint32_t absent; /* times in a row that describe did not find it */
    struct weir_wall absent_at; /* when it was asked for the first of them */
    uint64_t due_ms;
    struct weir_wall asked; /* when the call under way went out */
    WEIR_VEC(struct price_change) prices; /* that its provider told, and are not in force yet, the oldest first: see prices.c */
    struct weir_wall prices_until;        /* since when the last of a history that came holds */
    uint8_t prices_failed;                /* histories that were asked for and did not come */
    bool prices_busy;                     /* one is on its way */
    bool prices_early;                    /* what was told came before the machine was known to be there: others may have come between */
    bool prices_final;                    /* LEASE_STEP_PRICES: it was asked for after the end */
    struct weir_wall ended;               /* LEASE_STEP_PRICES: when, by its provider */
    bool reclaimed;
    uint64_t sent_ms; /* when a launch may last have gone out; 0: none did */
    uint32_t looks; /* at a machine that was told to end and has not */
    char secret[TOKEN_SIZE]; /* for its agent; "": not made, or made before this broker's start */
    struct effect_id launch;
    struct effect_id terminate;
};

/* ---- retention.c: what goes for its age ---- */

struct retention {
    uint64_t rows_due_ms;
    uint64_t logs_due_ms;
    DIR *logs;    /* the walk under way; NULL: none */
    DIR *files;   /* in the directory of a job; NULL: between two */
    char job[24]; /* its name */
};

/* ---- self_check.c: the broker proves its ledger ---- */

struct self_check {
    uint64_t due_ms;          /* 0: not known yet */
    struct weir_proof *proof; /* under way; NULL: none */
};

/* ---- program.c: what machines run ---- */

/* The sum of a program, and of which file it is. */
struct program_sum {
    ino_t inode;
    dev_t device;
    off_t bytes;
    time_t changed;
    char hex[65]; /* "": not known */
};

/* ---- commands.c: waiting and finished commands ---- */

struct waiter {
    struct weir_command *cmd;
    uint64_t until_ms;
};

/* ---- access.c, tokens.c: who may do what ---- */

struct person_project {
    char *name; /* "*": all */
    enum weir_role role;
};

struct person {
    char *name;
    enum weir_role role;
    bool is_disabled;
    WEIR_VEC(struct person_project) projects;
};

struct token {
    char hash[65];
    char name[64];
    char user[64];
    char created_by[64]; /* "": the broker itself */
    enum weir_role role; /* as it was made; NONE: as the user's */
    char *only;          /* projects, in a comma list; NULL: all of the user's */
    char *grants;        /* of somebody who came by an issuer: PROJECT:ROLE, in a comma list; not stored. NULL: no such token */
    struct weir_lease_id lease;
    struct weir_wall created;
    struct weir_wall expires;
    bool is_node; /* a join token, or (role AGENT) the key of a node's certificate, whose name is the node's */
    /* what follows from that and from the user */
    enum weir_role is;        /* NONE: nothing may be done with it */
    struct weir_scope *scope; /* NULL: none */
};

/* ---- tls.c: what the server shows ---- */

struct tls {
    struct weir_tls_files own;  /* by weir's authority */
    char *given_ca_pem; /* NULL: the system's */
    struct timespec seen[2]; /* when the given certificate's files were last changed, as far as known */
    uint64_t own_due_ms;
    uint64_t given_due_ms;
};

struct alerts; /* alerts_priv.h */

/* ---- policies.c: which places jobs may use ---- */

struct policies {
    WEIR_VEC(struct weir_policy_row) rows; /* in the order in which they are asked */
    uint64_t version;               /* raised by each change */
    struct weir_wall next;          /* a row begins or ends to hold then */
    struct weir_job_id walk_before; /* jobs below it are to be looked at again; 0: none are */
    struct weir_err err;
};

/* A unit of another currency in the ledger's, in force now. */
struct market_rate {
    int64_t nano;
    char currency[8];
};

struct market_asked {
    char provider[WEIR_PROVIDER_SIZE];
};

/* The price lists. */
struct market {
    WEIR_VEC(struct weir_offer) offer;    /* in order of provider; for assumptions and `offers` */
    struct weir_map at;                   /* offer -> index; where providers are configured */
    WEIR_VEC(struct weir_offer) unpriced; /* in a currency of which no rate is in force */
    WEIR_VEC(struct market_asked) asked;  /* whose prices some driver wants */
    WEIR_VEC(struct market_rate) rate;
    struct weir_wall rates_due; /* another may be in force then */
    bool foreign;               /* some rows are in another currency */
};

struct link; /* link.c */

/* The user of join tokens and nodes' keys: no person can be called so. */
#define TOKEN_NODE_USER ":node"

struct broker {
    struct weir_service service; /* first: the API's handle on us */
    struct weir_broker_conf conf;
    struct weir_config *config;
    struct weir_gpu_table *gpus;
    pthread_mutex_t gpus_lock;
    struct market market;
    struct weir_store *store;
    struct weir_store *reader[2];
    struct weir_engine *engine;
    struct weir_wall owned_due; /* a tariff may change then */
    struct weir_server *server;
    struct weir_api *api;
    char data_dir[4096];
    char log_dir[4200];
    char listen[160];    /* as bound */
    char url[256];       /* for agents on this host */
    char public_url[256]; /* for agents elsewhere */
    char owner[33];      /* installation id */
    char ticket_key[TOKEN_SIZE]; /* signs log tickets */
    char os_user[64];
    char *ca_pem; /* of weir's own authority; NULL: plain HTTP */
    struct tls tls;
    uint64_t started_ms;

    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer; /* 200 ms while something waits, else up to a second */
    uv_signal_t on_term;
    uv_signal_t on_int;
    bool stopping;

    /* from any thread, under the lock */
    pthread_mutex_t inbox_lock;
    struct weir_command *inbox;
    struct weir_command *inbox_last;
    bool inbox_closed; /* the broker is stopping */
    pthread_mutex_t tokens_lock;
    WEIR_VEC(struct token) tokens;
    struct weir_map token_at; /* id -> index */
    pthread_mutex_t sessions_lock; /* guards the copies below only */
    struct weir_map session_of_node; /* node -> hash of the session */
    void (*notify)(void *ctx);
    void *notify_ctx;
    uint64_t notified_ms;
    bool notify_due;

    size_t n_logins; /* since all were forgotten */
    struct oidc *oidc; /* NULL: no issuer is configured */
    WEIR_VEC(struct person) people;
    struct weir_map person_at; /* hash of the name -> index; of two with one hash, the later */

    WEIR_VEC(struct weir_command *) finished; /* answer after the next successful flush */
    WEIR_VEC(struct waiter) waiters;
    WEIR_VEC(struct waiter) live; /* for prices of now */
    WEIR_VEC(struct waiter) checks; /* for what looks at the providers find */
    struct weir_map possible; /* hashes of requests that were found possible */
    uint64_t possible_world;  /* in which world; see weir_engine_world */
    bool store_full; /* the last flush failed: take no new work */
    bool renting_off; /* no machine is rented until a person says so */
    uint64_t flush_retry_ms;

    WEIR_VEC(struct agent *) agents;
    struct weir_map agent_of_node; /* node -> index */
    struct job_info job_info[JOB_INFO_SLOTS];
    WEIR_VEC(struct weir_run_id) forget_run; /* the end is known: after the flush its agent may forget */
    WEIR_VEC(struct weir_node_id) forget_node;
    WEIR_VEC(struct unbegun) unbegun;

    struct provider provider[WEIR_CONFIG_PROVIDERS_MAX];
    struct call *calls; /* to providers, not answered yet */
    size_t n_providers;
    WEIR_VEC(struct lease_watch) leases;
    struct weir_provider_env provider_env;
    struct program_sum program_sum[2]; /* x86_64, aarch64 */
    struct {
        uint8_t state;  /* enum committed_state */
        uint64_t offer; /* that it made last; 0: none */
    } committed[WEIR_CONFIG_COMMITTED_MAX];

    struct retention retention;
    struct self_check self_check;
    struct weir_api_issuer api_issuer[WEIR_CONFIG_ISSUERS_MAX]; /* what the API shows of them */
    struct alerts *alerts;
    struct policies policies;
    struct link *link; /* NULL: rented machines reach us without one */

    /* local_agent.c */
    uv_process_t local_agent;
    bool local_agent_running;
    bool local_agent_elsewhere; /* one of an earlier broker is still there */
    bool local_agent_outdated;  /* and it offers other GPUs than this broker was told */
    struct weir_node_id local_node; /* its node; 0: it has not joined */
    uint64_t local_agent_due_ms;
};

/* broker.c */
uint64_t broker_ms(const struct broker *b);
void broker_wake(struct broker *b); /* have the loop look again soon */

/* commands.c */
void commands_handle(struct broker *b, struct weir_command *cmd);
/* The command is answered after the next successful flush. */
void commands_finish(struct broker *b, struct weir_command *cmd, int code);
void commands_answer_finished(struct broker *b);
/* budgets.c */
void budgets_set(struct broker *b, struct weir_command *cmd);
void budgets_remove(struct broker *b, struct weir_command *cmd);

/* rules.c */
void rules_change(struct broker *b, struct weir_command *cmd);

/* quotas.c */
void quotas_set(struct broker *b, struct weir_command *cmd);
void quotas_remove(struct broker *b, struct weir_command *cmd);
/* After a flush that failed: answers with -WEIR_ENOSPACE all but agents and what only reads. */
void commands_fail_unstored(struct broker *b);
void commands_jobs_ended(struct broker *b, const struct weir_job_id *job, size_t n);
void commands_tick(struct broker *b);
/* Answers cmd with all offers that are known. */
void commands_offers(struct broker *b, struct weir_command *cmd, bool live);
void commands_end_all(struct broker *b);

/* agents.c */
int agents_init(struct broker *b, struct weir_err *err);
void agents_free(struct broker *b);
void agents_join(struct broker *b, struct weir_command *cmd);
void agents_sync(struct broker *b, struct weir_command *cmd);
void agents_report(struct broker *b, struct weir_command *cmd);
void agents_order(struct broker *b, const struct weir_order *o);
/* After a flush: what was held back goes out. */
void agents_release(struct broker *b);
void agents_tick(struct broker *b);
/* Has its agent joined, and not been silent for too long? */
bool agents_is_there(struct broker *b, struct weir_node_id node);
/* Any run placed on the node? */
bool agents_is_busy(struct broker *b, struct weir_node_id node);
/* Ends the pause that the node may be in; its drain stays. */
void agents_pause_end(struct broker *b, struct weir_node_id node);
/* Has an idle owned node's agent end. */
void agents_send_away(struct broker *b, struct weir_node_id node);
/* "12" or "12_7", for the engine. */
void agents_task_name(void *broker, struct weir_task_id id, char *buf, size_t size);

/* leases.c */
int leases_init(struct broker *b, struct weir_err *err);
/* The machines of the leases that the store has are looked after from now on; the providers are there. */
void leases_restore(struct broker *b);
void leases_free(struct broker *b);
void leases_order(struct broker *b, const struct weir_order *o);
void leases_tick(struct broker *b);
/* Other rates of currencies are in force: offers that lack one now are withdrawn at once, and prices asked for anew. */
void leases_rates_changed(struct broker *b);

/* ---- feeds.c: what providers tell of their prices ---- */

/* An answer to offers came. */
/* ---- provider_quotas.c: what providers allow ---- */

/* Is it to be asked now? */
bool provider_quotas_are_due(const struct provider *p, uint64_t now_ms);
/* It is: the call goes out. */
void provider_quotas_asked(struct broker *b, struct provider *p);
void provider_quotas_note(struct broker *b, struct provider *p, const struct weir_provider_result *r);
/* May its offers be taken? Those that come before the first word on quotas would be rented beyond them; but no word is waited for longer than a while. */
bool provider_quotas_are_first(const struct provider *p, uint64_t now_ms);
/* All that are known, for the caller to free. */
struct weir_told_quota *provider_quotas_all(const struct broker *b, size_t *ret_n);
/* What doctor says of them, row by row. */
void provider_quotas_check(const struct broker *b, const struct provider *p, void (*add)(void *ctx, const struct weir_check *c), void *ctx);

void feeds_note(struct broker *b, struct provider *p, const struct weir_provider_result *r);
/* The provider is about to be asked for offers. */
void feeds_begin(struct provider *p);
/* Answers cmd with all offers when every provider has told its prices anew, or a bounded time later. */
void feeds_live(struct broker *b, struct weir_command *cmd);
/* Answers those who wait and need not any more. */
void feeds_tick(struct broker *b);
/* How each provider's prices came to be known, as a JSON array. live: somebody waited for them. */
void feeds_write(struct broker *b, bool live, struct weir_str *out);
/* The first provider with whose prices something is the matter; NULL: none. */
const struct provider *feeds_trouble(const struct broker *b);

/* ---- checks.c: looks at the providers, for people ---- */

/* Has every provider looked at, and answers cmd when all is found, or a bounded time later. */
void checks_begin(struct broker *b, struct weir_command *cmd);
/* Answers those who wait and need not any more. */
void checks_tick(struct broker *b);

/* The idempotency token of a lease: made of stored facts only, so that it is the same after any crash. */
void leases_token(const struct broker *b, struct weir_lease_id lease, char ret[static WEIR_TOKEN_SIZE]);
/* Asks how the price of the lease's machine went since that time: prices_history gets it. False: it cannot be asked for now. */
bool leases_ask_prices(struct broker *b, const struct lease_watch *w, const struct weir_offer *offer, struct weir_wall from);
/* Of a lease that is not over; NULL where there is none. Until the next order. */
struct lease_watch *leases_watch(struct broker *b, struct weir_lease_id lease);
/* The lease that is not over and whose launches carry that token; NULL where there is none. */
const struct lease_watch *leases_owner(struct broker *b, const char *token);

/* committed.c: what of a provider's offers is paid for already */
/*
 * The offer that a commitment of the configuration makes now of those that the provider told. False: it is of another, has ended or not begun, or
 * what it is for is not offered; the log says so once.
 */
bool committed_offer(struct broker *b, size_t commitment, const char *provider, const struct weir_offer *o, size_t n, struct weir_offer *ret);
/* Says at the start which commitments are with providers that are not configured. */
void committed_begin(const struct broker *b);
/* What weir doctor tells of the commitments with the provider: how many are offered, and those that are of no use. */
void committed_check(const struct broker *b, const char *provider, void (*add)(void *ctx, const struct weir_check *c), void *ctx);
/*
 * The reservation that a launch by the offer has to name; "": none. False: the offer is one of a commitment that is not in the configuration any more.
 */
bool committed_reservation(const struct broker *b, const struct weir_offer *o, char ret[static WEIR_RESERVATION_SIZE]);
/* Gives notice of the end of what the lease's machine is reserved by, a while before; 0: it is not due. */
struct weir_wall committed_notice(const struct broker *b, struct weir_lease_id lease);
/* A provider that is not configured, and has commitments: the at-th such. NULL: there are no more. */
const char *committed_unconfigured(const struct broker *b, size_t at);

/* prices.c: machines whose price moves while they run */
/* The provider told its offers. */
void prices_told(struct broker *b, const struct provider *p, const struct weir_offer *o, size_t n);
/* The lease's machine was there at that time: a price that holds since before is in force now. */
void prices_seen(struct broker *b, struct weir_lease_id lease, struct weir_wall seen);
/* Does its provider tell how the price of the lease's machine went? */
bool prices_have_history(struct broker *b, const struct lease_watch *w);
/* Asks for it, since the price that is charged began. */
void prices_ask(struct broker *b, struct lease_watch *w);
/* How the price of the lease's machine went came, or did not. */
void prices_history(struct broker *b, struct lease_watch *w, const struct weir_provider_result *r);

/* ---- link.c: how rented machines reach us ---- */

enum link_verdict {
    LINK_READY, /* the gateway knows the machine, or it needs none */
    LINK_WAIT,
    LINK_TAKEN, /* somebody else has its address */
    LINK_NONE,  /* the machine would be told an address that it cannot reach: see link_reaches */
};

/* What a launch is told of its link. */
struct link_end {
    struct weir_launch_link link;
    struct link_keys keys;
    struct weir_str routes;
    struct weir_str dns;
    struct weir_str domains;
};

/* After the providers. Errors: -WEIR_ECONFIG (a provider whose machines could never reach us), -WEIR_EUNSUPPORTED,
 * those of writing a file. */
int link_init(struct broker *b, struct weir_err *err);
/* What is under way ends soon. */
void link_stop(struct broker *b);
void link_free(struct broker *b);
/* Leases have come or gone. */
void link_changed(struct broker *b);
/* After a flush: what is not stored is not told to the gateway. */
void link_tick(struct broker *b);
/* May the lease's machine be launched? While it may not, its note says why. */
enum link_verdict link_admits(struct broker *b, const struct lease_watch *w);
/* Where the provider's machines have a link: fills it in, and the address by which they reach us. ret is to be released
 * in any case. */
void link_launch(struct broker *b, const struct lease_watch *w, struct weir_launch *l, struct link_end *ret);
void link_end_release(struct link_end *e);
/*
 * Could machines of the provider reach the broker? Not where the only address that it knows of itself is one of this host alone. c: what that is, and what
 * to do about it.
 */
bool link_reaches(const struct broker *b, const struct provider *p, struct weir_check *c);
/* For a person; b->link is not NULL. */
bool link_status(const struct broker *b, char *text, size_t size, const char **ret_remedy);

/* leases_audit.c */
void audit_begin(struct provider *p);
void audit_add(struct provider *p, const struct weir_instance *i, size_t n);
void audit_end(struct broker *b, struct provider *p, const char *failure); /* failure NULL: it is complete */
/* The comparison of leases and providers as a JSON document. */
void leases_audit(struct broker *b, struct weir_str *out);
/* Has every provider asked anew. */
void leases_look(struct broker *b);
/* Switches renting off or on, over restarts. Errors: -WEIR_EIO. */
int leases_set_renting(struct broker *b, bool on, struct weir_err *err);
void leases_restore_renting(struct broker *b);
/* Switches renting off and ends every machine, whatever runs there. Errors: -WEIR_EIO. */
int leases_down(struct broker *b, struct weir_err *err);

int leases_fault(struct broker *b, const char *what, struct weir_err *err);

/* program.c */
int program_open(struct weir_service *s, const char *arch, struct weir_err *err);
/* For struct weir_provider_env. */
const char *program_sum(void *broker, const char *arch);

/* alerts.c */
int alerts_init(struct broker *b, struct weir_err *err);
void alerts_end(struct broker *b);
void alerts_free(struct broker *b);
void alerts_tick(struct broker *b);
void alerts_change(struct broker *b, struct weir_command *cmd);
void alerts_finding(struct broker *b, struct weir_command *cmd);
/* What a look at the books found; wrong NULL: nothing is the matter. */
void alerts_found(struct broker *b, enum weir_finding kind, const char *name, const char *wrong);
void alerts_status(struct broker *b, struct weir_json *j);
/* Did every receiver take the last that it was sent? */
bool alerts_are_taken(const struct broker *b);
/* A look at a provider's machines begins; what no lease owns; the look is over. */
uint64_t alerts_sweep(struct broker *b);
void alerts_orphan(struct broker *b, const char *provider, const char *instance);
/* A lease lives whose provider is not configured; instance "": not known. */
void alerts_unwatched(struct broker *b, const char *provider, struct weir_lease_id lease, const char *instance);
void alerts_swept(struct broker *b, const char *provider, uint64_t round);

/* policies.c */
int policies_init(struct broker *b, struct weir_err *err);
void policies_release(struct broker *b);
void policies_tick(struct broker *b);
/* The number of the list of rules that holds for the job. err NULL: also where all is denied. Errors: -WEIR_EDENIED, saying which row and why. */
int policies_compile(struct broker *b, const struct weir_policy_subject *s, uint32_t *ret, struct weir_err *err);
void policies_set(struct broker *b, struct weir_command *cmd);
void policies_remove(struct broker *b, struct weir_command *cmd);

/* retention.c */
void retention_tick(struct broker *b);
void retention_free(struct broker *b);

/* self_check.c */
void self_check_tick(struct broker *b);
void self_check_free(struct broker *b);

enum { AUDIT_STATE_BYTES_MAX = 8192 }; /* of what it says was there, or is */

/* access.c */
int access_init(struct broker *b, struct weir_err *err);
void access_free(struct broker *b);
void access_change(struct broker *b, struct weir_command *cmd);
/* NULL where there is none. */
const struct person *access_find(const struct broker *b, const char *user);
/* As find; makes a user who is not there, whom the command's issuer has told of, and notes that. */
const struct person *access_welcome(struct broker *b, const struct weir_command *cmd, const char *user);
/* Their role in a project, whatever their role in the installation. */
enum weir_role access_role_in(const struct person *p, struct weir_sv project);
/* Notes a change that the command has made; it is written with it. before and after are JSON, "" where nothing was there. */
void access_audit(struct broker *b, const struct weir_command *cmd, const char *action, const char *object, const char *before,
                  const char *after);
/* Whom a budget or a quota is for, in what the audit log says of it. */
void access_scope_json(struct weir_json *j, const struct broker *b, uint8_t scope, struct weir_project_id project, struct weir_user_id user, const char *tag);

/* tokens.c */
int tokens_init(struct broker *b, struct weir_err *err);
void tokens_free(struct broker *b);
/* A new secret of the broker's own (TOKEN_SIZE), known from now and stored with the next flush. */
void tokens_make(struct broker *b, const char *name, const char *role, const char *user, struct weir_lease_id lease,
                 char *ret, size_t size);
/* As that, by somebody for somebody. row's hash is filled in; role "": as the user's. */
void tokens_make_for(struct broker *b, struct weir_token_row *row, char *ret, size_t size);
/* A secret of our own in a file of the data directory (TOKEN_SIZE), which is made where it is not there. Errors: those
 * of writing it. */
int tokens_file_key(struct broker *b, const char *file, char *ret, struct weir_err *err);
/* Copied; false where there is none with that id. only is borrowed until the token is gone. */
bool tokens_get(struct broker *b, const char *id, struct token *ret);
/* A credential whose hash is known, as the key of a certificate is. */
void tokens_put(struct broker *b, struct weir_token_row *row);
/* A join token is good for that key only from now on. */
void tokens_bind(struct broker *b, const char *id, const char *key);
void tokens_extend(struct broker *b, const char *id, struct weir_wall expires);
bool tokens_is_expired(const struct token *t);
/* Forgets those that are not to be kept, here and in the store. Returns how many. */
unsigned tokens_drop(struct broker *b, bool (*is_kept)(struct broker *b, const struct token *t, const void *ctx), const void *ctx);
/* Of that id; from now on it is not known. */
void tokens_revoke(struct broker *b, const char *id);
/* All of a user's that were not made by the broker. Returns how many. */
unsigned tokens_revoke_all(struct broker *b, const char *user);
/* What the user may do has changed. */
void tokens_refresh(struct broker *b, const char *user);
/* Forgets those of machines whose lease has been over for an hour. */
void tokens_forget_old(struct broker *b);
int tokens_authenticate(struct weir_service *s, struct weir_sv token, struct weir_identity *ret, struct weir_login **ret_login, struct weir_err *err);
int tokens_authenticate_key(struct weir_service *s, const char *key, struct weir_identity *ret, struct weir_err *err);
bool tokens_is_still(struct weir_service *s, const struct weir_identity *who);

/* Somebody has shown a token of their issuer's: from now on it is known, until it expires. */
void tokens_add_login(struct broker *b, const char *hash, const char *user, enum weir_role role, const char *grants, struct weir_wall expires);

/* oidc.c: signed tokens of issuers */
int oidc_init(struct broker *b, struct weir_err *err);
void oidc_free(struct broker *b);
void oidc_tick(struct broker *b);
/* Who waits for an issuer's keys waits no longer. */
void oidc_end_all(struct broker *b);
/* As authenticate of the service, for what is not known among the tokens. */
int oidc_authenticate(struct broker *b, struct weir_sv token, const char *hash, struct weir_login **ret, struct weir_err *err);
void oidc_login(struct broker *b, struct weir_command *cmd);

/* certificates.c: agents by certificate */
bool certificates_has(struct broker *b, const char *node);
void certificates_invite(struct broker *b, struct weir_command *cmd);
void certificates_revoke(struct broker *b, struct weir_command *cmd);
void certificates_certify(struct broker *b, struct weir_command *cmd);
/* May who asks join under that name, for a node that is known (0: it is not)? Errors: -WEIR_EDENIED. */
int certificates_check_join(struct broker *b, const struct weir_identity *who, const char *name, struct weir_node_id node, struct weir_err *err);

/* tls.c */
/* Weir's own authority and certificate, before the server is started; what was given in place of it, after. */
int tls_init(struct broker *b, struct weir_err *err);
int tls_start(struct broker *b, struct weir_err *err);
/* Renews the one, and reads the other again when it has changed. */
void tls_tick(struct broker *b);
/* By which authority machines elsewhere know the broker. NULL: the system's, or there is no TLS. */
const char *tls_authority(const struct broker *b);
void tls_free(struct broker *b);

/* local_agent.c */
void local_agent_tick(struct broker *b);
/* An agent has joined: is it ours, and is it what we would have started? declaration: NULL where it has none. */
void local_agent_joined(struct broker *b, struct weir_node_id node, const char *agent_id, const char *declaration);
/* Ends it when it has nothing to do; says so where it goes on. */
void local_agent_stop(struct broker *b);

/* What a node costs from a time on, and until when; see engine.h. */
struct weir_wall node_cost(void *broker, const struct weir_node_spec *spec, struct weir_wall at, struct weir_owned_cost *ret);
/* Where a tariff or the grid has changed, the core and the bill are told. */
void owned_tick(struct broker *b);

/* ---- market.c ---- */

/* Reads the rates that are in force out of the store, and the price lists. Errors: those of store and catalogue. */
int market_open(struct broker *b, struct weir_err *err);
/* The currencies without a rate that price lists are in, with how many offers; at most max. */
size_t market_missing(const struct broker *b, struct weir_unpriced *ret, size_t max);
/* A driver wants the prices of that provider. */
void market_note_asked(struct broker *b, const char *provider);
/* The currency of some offer that could be rented but for want of a rate, for the request (NULL: any); "": there is none. */
const char *market_no_rate(const struct broker *b, const struct weir_request *request);
void market_release(struct broker *b);
/* Looks which rates are in force; where others are than before, prices are taken anew. Call it when a rule was added or ended. */
void market_rates(struct broker *b);
/* A weir_provider_env's: what a unit of a currency is in the ledger's now, in billionths; 0: no rate is in force. */
int64_t market_rate(void *broker, const char *currency);
void market_tick(struct broker *b);
