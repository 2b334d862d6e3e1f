/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sandbox promises beyond the provider contract: the agent's command line, that nothing
 * of a machine outlives it, and the configuration. This program is its own "weir": `sandbox-machine`
 * is the real one, `agent` does what the word in its token file says.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"
#include "cloud/sandbox/conf.h"
#include "cloud/sandbox/sandbox.h"
#include "cloud/sandbox/world.h"

enum { WAIT_MS_MAX = 120000 };

extern char **environ;

static char self[SANDBOX_PATH_SIZE];

/* ---- the agent ---- */

static void put_file(const char *dir, const char *name, const char *text)
{
    struct weir_err err;
    if (sandbox_write_file(dir, name, weir_sv_of(text), &err) < 0) {
        _exit(9);
    }
}

static void leave_daemon(const char *dir)
{
    if (fork() == 0) {
        (void)setsid();
        if (fork() != 0) {
            _exit(0);
        }
        (void)signal(SIGTERM, SIG_IGN);
        char pid[32];
        (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
        put_file(dir, "daemon.pid", pid);
        for (;;) {
            (void)pause();
        }
    }
}

static int agent_main(int argc, char **argv)
{
    char dir[SANDBOX_PATH_SIZE] = "";
    WEIR_CLEANUP(weir_str_release) struct weir_str args = WEIR_STR_INIT(65536);
    for (int i = 1; i < argc; i++) {
        weir_str_addf(&args, "%s\n", argv[i]);
        if (weir_streq(argv[i], "--data")) {
            (void)snprintf(dir, sizeof dir, "%s/..", argv[i + 1]);
        }
    }
    for (size_t i = 0; environ[i] != NULL; i++) {
        weir_str_addf(&args, "env %s\n", environ[i]);
    }
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    /* Nothing may be left behind: the leak checker would change the status that the test is about. */
    WEIR_CLEANUP(weir_freep) char *token = NULL;
    size_t n;
    if (sandbox_read_file(dir, "token", &token, &n, NULL) < 0) {
        return 8;
    }
    (void)printf("the agent says hello\n");
    (void)fflush(stdout);
    if (weir_streq(token, "exit")) {
        return 3;
    }
    if (weir_streq(token, "daemon")) {
        leave_daemon(dir);
    }
    put_file(dir, "args", weir_str_cstr(&args));
    int sig;
    (void)sigwait(&set, &sig);
    return 0;
}

/* ---- the rig ---- */

struct rig {
    char dir[64];
    struct sandbox_world w;
};

static struct rig new_rig(void)
{
    struct rig g = {.dir = "/tmp/weir-sandbox-XXXXXX"};
    assert_non_null(mkdtemp(g.dir));
    assert_true(sandbox_path(g.w.root, g.dir, "sandbox"));
    (void)snprintf(g.w.owner, sizeof g.w.owner, "me");
    (void)snprintf(g.w.self_exe, sizeof g.w.self_exe, "%s", self);
    g.w.capacity = 8;
    g.w.page_size = 10;
    struct weir_err err = {""};
    int r = sandbox_world_open(&g.w, weir_clock_wall(&weir_clock_os), &err);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
    return g;
}

static struct sandbox_launch launch_of(const char *token, const char *word)
{
    struct sandbox_launch l = {.join_token = word, .gpu_capacity = UINT32_MAX, .start = true};
    struct sandbox_spec *s = &l.spec;
    (void)snprintf(s->token, sizeof s->token, "%s", token);
    (void)snprintf(s->owner, sizeof s->owner, "me");
    (void)snprintf(s->gpu, sizeof s->gpu, "A100");
    (void)snprintf(s->broker_url, sizeof s->broker_url, "https://127.0.0.1:7070");
    (void)snprintf(s->self_exe, sizeof s->self_exe, "%s", self);
    s->gpus = 2;
    s->lease = 42;
    s->expires = weir_wall_add(weir_clock_wall(&weir_clock_os), weir_dur_s(60));
    return l;
}

static struct weir_instance launch(const struct rig *g, const struct sandbox_launch *l)
{
    struct weir_instance i = {0};
    bool is_new;
    struct weir_err err = {""};
    enum weir_provider_class c = sandbox_world_launch(&g->w, l, &i, &is_new, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(c, WEIR_PROVIDER_OK);
    return i;
}

static void breathe(void)
{
    struct timespec t = {.tv_nsec = 10000000};
    (void)nanosleep(&t, NULL);
}

static int64_t mono_ms(void)
{
    return weir_clock_mono(&weir_clock_os).us / WEIR_US_PER_MS;
}

static struct weir_instance await(const struct rig *g, const char *id, enum weir_instance_state want)
{
    struct weir_instance i = {0};
    for (int64_t end = mono_ms() + WAIT_MS_MAX; mono_ms() < end; breathe()) {
        assert_true(sandbox_world_describe(&g->w, id, &i));
        if (i.state == want) {
            return i;
        }
    }
    fail_msg("%s is in state %d, not %d", id, (int)i.state, (int)want);
    return i;
}

/* The content of a machine's file as soon as it is there; the caller frees. */
static char *await_file(const struct rig *g, const char *id, const char *name)
{
    char *text = NULL;
    size_t n;
    for (int64_t end = mono_ms() + WAIT_MS_MAX; mono_ms() < end; breathe()) {
        static const char *const shelf[] = {"instances", "gone"};
        for (int i = 0; i < 2; i++) {
            char dir[SANDBOX_PATH_SIZE];
            (void)snprintf(dir, sizeof dir, "%.900s/%s/%s", g->w.root, shelf[i], id);
            if (sandbox_read_file(dir, name, &text, &n, NULL) == 0) {
                return text;
            }
        }
    }
    fail_msg("%s/%s does not appear", id, name);
    return NULL;
}

static void free_rig(struct rig *g)
{
    struct weir_instance i[10];
    bool more;
    size_t n = sandbox_world_list(&g->w, "", i, &more);
    for (size_t k = 0; k < n; k++) {
        (void)sandbox_world_flag(&g->w, i[k].id, "terminate", NULL);
        (void)await(g, i[k].id, WEIR_INSTANCE_GONE);
    }
    /* A machine files itself away after it has ended; its directory must not go under it. */
    for (int64_t end = mono_ms() + WAIT_MS_MAX; mono_ms() < end; breathe()) {
        char path[SANDBOX_PATH_SIZE];
        (void)snprintf(path, sizeof path, "%.900s/instances", g->w.root);
        if (rmdir(path) == 0) {
            break;
        }
    }
    sandbox_remove_tree(g->dir);
}

static bool is_running(pid_t pid)
{
    char path[64];
    char buf[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    WEIR_CLEANUP(weir_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, sizeof buf - 1);
    const char *p = n <= 0 ? NULL : strrchr(buf, ')');
    return p != NULL && strncmp(p, ") Z", 3) != 0;
}

static pid_t pid_in(char *text)
{
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    free(text);
    assert_true(pid > 1);
    return pid;
}

static void await_death(pid_t pid)
{
    int64_t end = mono_ms() + WAIT_MS_MAX;
    while (is_running(pid) && mono_ms() < end) {
        breathe();
    }
    assert_false(is_running(pid));
}

/* ---- machines ---- */

static void the_agent_gets_the_command_line_that_it_understands(void **state)
{
    (void)state;
    struct rig g = new_rig();
    assert_int_equal(setenv("WEIR_TOKEN", "the-broker's-own", 1), 0);
    struct sandbox_launch l = launch_of("t-1", "wait");
    l.ca_pem = "-----BEGIN CERTIFICATE-----\n";
    l.spec.has_ca = true;
    struct weir_instance i = launch(&g, &l);
    char *args = await_file(&g, i.id, "args");
    char want[8192];
    char expires[WEIR_RFC3339_SIZE];
    char dir[SANDBOX_PATH_SIZE];
    (void)snprintf(dir, sizeof dir, "%.900s/instances/%.32s", g.w.root, i.id);
    (void)snprintf(want, sizeof want,
                   "agent\n--broker\nhttps://127.0.0.1:7070\n--token-file\n%s/token\n--data\n%s/agent\n"
                   "--lease\n42\n--lease-expires\n%s\n--pool\nsandbox\n--name\n%s\n--notice-file\n"
                   "%s/notice.json\n--declare-gpus\nA100:2\n--ca\n%s/ca.pem\n",
                   dir, dir, weir_wall_format(l.spec.expires, expires), i.id, dir, dir);
    assert_memory_equal(args, want, strlen(want));
    assert_null(strstr(args, "the-broker's-own"));
    char *log = await_file(&g, i.id, "agent.log");
    for (int64_t end = mono_ms() + WAIT_MS_MAX; mono_ms() < end && strstr(log, "hello") == NULL;) {
        free(log);
        breathe();
        log = await_file(&g, i.id, "agent.log");
    }
    assert_string_equal(log, "the agent says hello\n");
    free(log);
    free(args);
    assert_int_equal(unsetenv("WEIR_TOKEN"), 0);
    free_rig(&g);
}

static void notice_is_a_file_with_the_time(void **state)
{
    (void)state;
    struct rig g = new_rig();
    struct sandbox_launch l = launch_of("t-1", "wait");
    l.spec.notice = weir_dur_s(1);
    struct weir_instance i = launch(&g, &l);
    (void)await(&g, i.id, WEIR_INSTANCE_RUNNING);
    assert_int_equal(sandbox_world_flag(&g.w, i.id, "reclaim", NULL), WEIR_PROVIDER_OK);
    char *text = await_file(&g, i.id, "notice.json");
    json_t *j = json_loads(text, 0, NULL);
    i = await(&g, i.id, WEIR_INSTANCE_GONE);
    assert_int_equal(json_integer_value(json_object_get(j, "reclaim_at")), i.reclaim_at.us);
    assert_true(i.reclaimed && i.ended.us >= i.reclaim_at.us);
    json_decref(j);
    free(text);
    free_rig(&g);
}

static void the_end_of_the_agent_is_the_end_of_the_machine(void **state)
{
    (void)state;
    struct rig g = new_rig();
    struct sandbox_launch l = launch_of("t-1", "exit");
    struct weir_instance i = launch(&g, &l);
    i = await(&g, i.id, WEIR_INSTANCE_GONE);
    assert_false(i.reclaimed);
    char *text = await_file(&g, i.id, "state.json");
    assert_non_null(strstr(text, "the agent ended with status 3"));
    free(text);
    free_rig(&g);
}

static void nothing_of_a_machine_outlives_its_termination(void **state)
{
    (void)state;
    struct rig g = new_rig();
    struct sandbox_launch l = launch_of("t-1", "daemon");
    struct weir_instance i = launch(&g, &l);
    pid_t daemon = pid_in(await_file(&g, i.id, "daemon.pid"));
    assert_true(is_running(daemon));
    (void)sandbox_world_flag(&g.w, i.id, "terminate", NULL);
    (void)await(&g, i.id, WEIR_INSTANCE_GONE);
    assert_false(is_running(daemon));
    free_rig(&g);
}

static void a_machine_whose_process_is_killed_is_buried(void **state)
{
    (void)state;
    struct rig g = new_rig();
    struct sandbox_launch l = launch_of("t-1", "daemon");
    struct weir_instance i = launch(&g, &l);
    pid_t daemon = pid_in(await_file(&g, i.id, "daemon.pid"));
    char *text = await_file(&g, i.id, "state.json");
    json_t *j = json_loads(text, 0, NULL);
    pid_t machine = (pid_t)json_integer_value(json_object_get(j, "pid"));
    json_decref(j);
    free(text);
    assert_true(machine > 1);
    assert_int_equal(kill(machine, SIGKILL), 0);
    await_death(machine);
    i = await(&g, i.id, WEIR_INSTANCE_GONE);
    assert_true(i.ended.us >= i.launched.us);
    await_death(daemon);
    free_rig(&g);
}

static void two_programs_that_launch_one_token_make_one_machine(void **state)
{
    (void)state;
    struct rig g = new_rig();
    struct sandbox_launch l = launch_of("t-1", "wait");
    pid_t child[4];
    for (int k = 0; k < 4; k++) {
        child[k] = fork();
        if (child[k] == 0) {
            struct weir_instance i;
            bool is_new;
            _exit(sandbox_world_launch(&g.w, &l, &i, &is_new, NULL) != WEIR_PROVIDER_OK ? 9 : is_new);
        }
    }
    int made = 0;
    for (int k = 0; k < 4; k++) {
        int status;
        assert_int_equal(waitpid(child[k], &status, 0), child[k]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        made += WEXITSTATUS(status);
    }
    assert_int_equal(made, 1);
    struct weir_instance i[10];
    bool more;
    assert_int_equal(sandbox_world_list(&g.w, "", i, &more), 1);
    free_rig(&g);
}

static void a_launch_cut_off_while_it_wrote_leaves_nothing_in_the_way(void **state)
{
    (void)state;
    struct rig g = new_rig();
    struct sandbox_launch l = launch_of("t-1", "wait");
    char id[SANDBOX_ID_SIZE];
    char dir[SANDBOX_PATH_SIZE];
    sandbox_id("t-1", id);
    (void)snprintf(dir, sizeof dir, "%.900s/instances/.making-%s", g.w.root, id);
    assert_int_equal(mkdir(dir, 0700), 0);
    put_file(dir, "launch.json", "{\"tok");
    struct weir_instance i;
    bool more;
    assert_false(sandbox_world_describe(&g.w, id, &i));
    assert_int_equal(sandbox_world_list(&g.w, "", &i, &more), 0);
    i = launch(&g, &l);
    assert_string_equal(i.id, id);
    free_rig(&g);
}

static void gpus_of_a_model_run_out(void **state)
{
    (void)state;
    struct rig g = new_rig();
    struct sandbox_launch l = launch_of("t-1", "wait");
    l.gpu_capacity = 3;
    (void)launch(&g, &l);
    struct sandbox_launch other = launch_of("t-2", "wait");
    other.gpu_capacity = 3;
    struct weir_instance i;
    bool is_new;
    struct weir_err err = {""};
    assert_int_equal(sandbox_world_launch(&g.w, &other, &i, &is_new, &err), WEIR_PROVIDER_NO_CAPACITY);
    assert_string_equal(err.text, "the sandbox has 2 of 3 A100 in use");
    free_rig(&g);
}

/* ---- configuration, offers, faults of a file ---- */

static void configuration_errors_name_the_key(void **state)
{
    (void)state;
    static const struct {
        const char *conf;
        const char *text; /* NULL: it is fine */
    } rows[] = {
        {"{}", NULL},
        {"{\"capacity\": 3, \"gpu_capacity\": {\"A100\": 4}, \"mirror\": [\"gcp\"], \"regions\": [\"eu-*\"]}", NULL},
        {"{\"offers\": [{\"instance_type\": \"a\", \"gpu\": \"T4\", \"price\": \"0.35\", \"spot_price\": 0.1}]}", NULL},
        {"{\"reclaim_chance_per_hour\": 0.25, \"reclaim_notice\": \"5s\", \"keep_disks\": true}", NULL},
        {"[]", "must be a mapping"},
        {"{\"capcity\": 1}", "did you mean 'capacity'?"},
        {"{\"capacity\": -1}", "sandbox.capacity: must be a whole number from 0 to 1024"},
        {"{\"capacity\": \"many\"}", "sandbox.capacity"},
        {"{\"boot_delay\": \"soon\"}", "sandbox.boot_delay"},
        {"{\"boot_delay\": []}", "sandbox.boot_delay"},
        {"{\"gpu_capacity\": {\"RTX409\": 1}}", "did you mean 'RTX4090'?"},
        {"{\"mirror\": \"aws\"}", NULL},
        {"{\"mirror\": 7}", "sandbox.mirror"},
        {"{\"mirror\": [\"\"]}", "sandbox.mirror"},
        {"{\"offers\": [{}]}", "sandbox.offers[0].instance_type: is missing: any name will do"},
        {"{\"offers\": [{\"instance_type\": \"a\"}]}", "sandbox.offers[0].price: is missing: what an hour of it costs, such as 1.20"},
        {"{\"offers\": [{\"instance_type\": \"a\", \"price\": 0}]}", "sandbox.offers[0].price"},
        {"{\"offers\": [{\"instance_type\": \"a\", \"gpus\": 2, \"price\": 1}]}", "sandbox.offers[0].gpu"},
        {"{\"offers\": [{\"instance_typ\": \"a\"}]}", "did you mean 'instance_type'?"},
        {"{\"currency\": \"USD\", \"offers\": [{\"instance_type\": \"a\", \"price\": 1, \"currency\": \"EUR\"}]}", NULL},
        {"{\"currency\": \"usd\"}", "sandbox.currency: must be the code of a currency in three capital letters: EUR"},
        {"{\"offers\": [{\"instance_type\": \"a\", \"price\": 1}, {\"instance_type\": \"b\", \"price\": 1, \"currency\": \"XYZ\"}]}", "sandbox.offers[1].currency: must be"},
        {"{\"offers\": [{\"instance_type\": \"a\", \"price\": \"1.20 USD\"}]}", "sandbox.offers[0].price: must be a number; 'currency' beside it says what prices are in"},
        {"{\"offers\": [4]}", "sandbox.offers[0]: must be a mapping such as"},
        {"{\"reclaim_chance_per_hour\": 2}", "must be a number from 0 to 1"},
        {"{\"page_size\": 0}", "sandbox.page_size"},
        {"{\"keep_disks\": 1}", "sandbox.keep_disks"},
        {"{\"price_every\": \"5m\", \"price_swing\": 0.5}", NULL},
        {"{\"price_every\": \"1s\", \"price_series\": [1, 1.5, \"0.25\"]}", NULL},
        {"{\"price_every\": \"10ms\"}", "sandbox.price_every: must be 0s (prices stay) or at least 1s"},
        {"{\"price_swing\": 0.5}", "sandbox.price_every: must say how long"},
        {"{\"price_every\": \"5m\", \"price_swing\": 1.5}", "sandbox.price_swing: must be a number from 0 to 0"},
        {"{\"price_every\": \"5m\", \"price_swing\": 0.1, \"price_series\": [1]}", "sandbox.price_swing: does not go with"},
        {"{\"price_every\": \"5m\", \"price_series\": []}", "sandbox.price_series: must be a list"},
        {"{\"price_every\": \"5m\", \"price_series\": [1, -1]}", "sandbox.price_series"},
        {"{\"price_every\": \"5m\", \"price_series\": [101]}", "sandbox.price_series"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_gpu_table *gpus = weir_gpu_table_new();
        struct sandbox_conf *c = weir_alloc(sizeof *c);
        struct weir_err err = {""};
        json_t *j = json_loads(rows[i].conf, 0, NULL);
        assert_non_null(j);
        int r = sandbox_conf_read(c, j, gpus, &err);
        if (rows[i].text == NULL) {
            assert_string_equal(err.text, "");
            assert_int_equal(r, 0);
        } else {
            assert_int_equal(r, -WEIR_ECONFIG);
            if (strstr(err.text, rows[i].text) == NULL) {
                fail_msg("%s: '%s'", rows[i].conf, err.text);
            }
        }
        json_decref(j);
        free(c);
        weir_gpu_table_free(gpus);
    }
}

static struct weir_gpu_table *table;

static const struct weir_offer *catalogue(void *ctx, const char *provider, size_t *ret_n)
{
    (void)ctx;
    static struct weir_offer o[4];
    for (size_t i = 0; i < 4; i++) {
        o[i] = (struct weir_offer){.market = i == 1 ? WEIR_OFFER_SPOT : WEIR_OFFER_ON_DEMAND,
                                   .gpu_model = weir_gpu_table_intern(table, WEIR_SV("A100")),
                                   .gpus = i == 2 ? 16 : 1,
                                   .price_micro_per_hour = 1000000,
                                   .as_of = {1},
                                   .bill_quantum = weir_dur_s(60),
                                   .reclaim_notice = weir_dur_s(120),
                                   .reclaim_ppm_per_hour = 77};
        (void)snprintf(o[i].provider, sizeof o[i].provider, "%s", provider);
        (void)snprintf(o[i].region, sizeof o[i].region, i == 3 ? "us-1" : "eu-1");
        (void)snprintf(o[i].instance_type, sizeof o[i].instance_type, "big");
        (void)snprintf(o[i].source, sizeof o[i].source, "a list");
    }
    *ret_n = weir_streq(provider, "aws") ? 4 : 0;
    return o;
}

struct seen {
    bool came;
    enum weir_provider_class class;
    size_t n;
    struct weir_offer o[4];
    char text[256];
};

static void see(void *ctx, const struct weir_provider_result *r)
{
    struct seen *s = ctx;
    s->came = true;
    s->class = r->class;
    s->n = r->n_offers;
    memcpy(s->text, r->text, sizeof s->text);
    for (size_t i = 0; i < r->n_offers && i < 4; i++) {
        s->o[i] = r->offer[i];
    }
}

static void mirrored_offers_say_whose_they_are(void **state)
{
    (void)state;
    struct rig g = new_rig();
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    table = weir_gpu_table_new();
    struct weir_provider_env env = {.loop = &loop,
                                    .clock = &weir_clock_os,
                                    .owner = "me",
                                    .data_dir = g.dir,
                                    .self_exe = self,
                                    .gpus = table,
                                    .catalogue = catalogue};
    json_t *j = json_loads("{\"mirror\": [\"aws\", \"gcp\"], \"regions\": [\"eu-*\"], \"boot_delay\": \"3s\"}", 0, NULL);
    struct weir_provider *p = NULL;
    assert_int_equal(weir_sandbox_provider.init(&p, &env, j, NULL), 0);
    struct seen s = {0};
    assert_int_equal(weir_sandbox_provider.offers(p, see, &s), 0);
    while (!s.came) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(s.n, 2); /* not the one with 16 GPUs, not the one in the wrong region */
    assert_string_equal(s.o[0].provider, "sandbox");
    assert_string_equal(s.o[0].instance_type, "aws:big");
    assert_string_equal(s.o[0].source, "sandbox, as: a list");
    assert_int_equal(s.o[0].boot_expected.us, 3 * WEIR_US_PER_S);
    assert_int_equal(s.o[0].bill_quantum.us, 60 * WEIR_US_PER_S);
    assert_true(s.o[0].as_of.us > 1 && s.o[0].launchable);
    assert_int_equal(s.o[1].reclaim_notice.us, 120 * WEIR_US_PER_S);
    assert_int_equal(s.o[1].reclaim_ppm_per_hour, 77);
    /* A file of faults is taken at the next call. */
    put_file(g.w.root, "faults", "# for a try\nnonsense\nquota\n");
    struct weir_launch l = {.token = "t-1", .offer = &s.o[0], .owner = "me", .broker_url = "http://x",
                            .join_token = "j", .expires = weir_wall_add(s.o[0].as_of, weir_dur_s(60))};
    struct seen t = {0};
    assert_int_equal(weir_sandbox_provider.launch(p, &l, see, &t), 0);
    while (!t.came) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(t.class, WEIR_PROVIDER_QUOTA);
    char path[SANDBOX_PATH_SIZE];
    assert_true(sandbox_path(path, g.w.root, "faults"));
    assert_int_equal(access(path, F_OK), -1);
    weir_sandbox_provider.fini(p);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    json_decref(j);
    weir_gpu_table_free(table);
    free_rig(&g);
}

/* ---- prices that move ---- */

static int64_t wall_us;

static struct weir_wall set_wall(void *ctx)
{
    (void)ctx;
    return (struct weir_wall){wall_us};
}

static struct weir_mono set_mono(void *ctx)
{
    (void)ctx;
    return (struct weir_mono){wall_us};
}

enum { TOLD_MAX = 64, LISTED_MICRO = 400000 };

struct told {
    bool came;
    struct weir_offer offer[TOLD_MAX];
    size_t n;
};

static void hear(void *ctx, const struct weir_provider_result *r)
{
    struct told *t = ctx;
    t->came = true;
    assert_int_equal(r->class, WEIR_PROVIDER_OK);
    assert_true(r->n_offers <= TOLD_MAX);
    t->n = r->n_offers;
    for (size_t i = 0; i < r->n_offers; i++) {
        t->offer[i] = r->offer[i];
    }
}

/* A sandbox of one offer, on demand and spot, with a clock that is set. */
struct market_rig {
    struct rig g;
    uv_loop_t loop;
    struct weir_gpu_table *gpus;
    struct weir_provider_env env;
    struct weir_provider *p;
    struct told told;
};

static struct market_rig *new_market(const char *market, int64_t at_s)
{
    static const struct weir_clock clock = {set_wall, set_mono, NULL};
    struct market_rig *m = weir_alloc(sizeof *m);
    char text[512];
    m->g = new_rig();
    m->gpus = weir_gpu_table_new();
    wall_us = at_s * WEIR_US_PER_S;
    assert_int_equal(uv_loop_init(&m->loop), 0);
    m->env = (struct weir_provider_env){.loop = &m->loop, .clock = &clock, .owner = "me", .data_dir = m->g.dir, .self_exe = self, .gpus = m->gpus};
    (void)snprintf(text, sizeof text, "{\"mirror\": [], \"offers\": [{\"instance_type\": \"a\", \"price\": 1, \"spot_price\": 0.4}], %s}", market);
    json_t *j = json_loads(text, 0, NULL);
    assert_int_equal(weir_sandbox_provider.init(&m->p, &m->env, j, NULL), 0);
    json_decref(j);
    return m;
}

static void free_market(struct market_rig *m)
{
    weir_sandbox_provider.fini(m->p);
    (void)uv_run(&m->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&m->loop), 0);
    weir_gpu_table_free(m->gpus);
    free_rig(&m->g);
    free(m);
}

static void hear_out(struct market_rig *m)
{
    while (!m->told.came) {
        (void)uv_run(&m->loop, UV_RUN_ONCE);
    }
}

/* The offer of that market at that time. */
static struct weir_offer offer_at(struct market_rig *m, int64_t at_s, enum weir_market market)
{
    m->told = (struct told){0};
    wall_us = at_s * WEIR_US_PER_S;
    assert_int_equal(weir_sandbox_provider.offers(m->p, hear, &m->told), 0);
    hear_out(m);
    assert_int_equal(m->told.n, 2);
    return m->told.offer[m->told.offer[0].market == market ? 0 : 1];
}

static void tell_history(struct market_rig *m, const struct weir_offer *o, int64_t from_s)
{
    m->told = (struct told){0};
    assert_int_equal(weir_sandbox_provider.price_history(m->p, o, (struct weir_wall){from_s * WEIR_US_PER_S}, hear, &m->told), 0);
    hear_out(m);
}

static void a_series_of_prices_is_played_back(void **state)
{
    (void)state;
    static const int64_t want[] = {LISTED_MICRO * 2, LISTED_MICRO / 2, LISTED_MICRO, LISTED_MICRO * 2};
    struct market_rig *m = new_market("\"price_every\": \"10s\", \"price_series\": [1, 2, 0.5]", 6000);
    struct weir_offer o = offer_at(m, 6000, WEIR_OFFER_SPOT);
    assert_int_equal(o.price_micro_per_hour, LISTED_MICRO);
    assert_int_equal(o.price_since.us, 6000 * WEIR_US_PER_S);
    o = offer_at(m, 6009, WEIR_OFFER_SPOT);
    assert_int_equal(o.price_micro_per_hour, LISTED_MICRO);
    assert_int_equal(o.price_since.us, 6000 * WEIR_US_PER_S);
    o = offer_at(m, 6049, WEIR_OFFER_ON_DEMAND);
    assert_int_equal(o.price_micro_per_hour, 1000000);
    assert_int_equal(o.price_since.us, 0);
    o = offer_at(m, 6049, WEIR_OFFER_SPOT);
    assert_int_equal(o.price_since.us, 6040 * WEIR_US_PER_S);
    tell_history(m, &o, 6015); /* the first is the price of then */
    assert_int_equal(m->told.n, WEIR_ARRAY_LEN(want));
    for (size_t i = 0; i < WEIR_ARRAY_LEN(want); i++) {
        assert_int_equal(m->told.offer[i].id, o.id);
        assert_int_equal(m->told.offer[i].price_since.us, (6010 + (int64_t)i * 10) * WEIR_US_PER_S);
        assert_int_equal(m->told.offer[i].price_micro_per_hour, want[i]);
    }
    tell_history(m, &o, 7000); /* by a clock that is ahead */
    assert_int_equal(m->told.n, 0);
    free_market(m);
}

static void prices_by_chance_are_the_same_after_a_restart(void **state)
{
    (void)state;
    static const char swing[] = "\"price_every\": \"1m\", \"price_swing\": 0.5";
    enum { BEGIN_S = 90000 };
    struct weir_offer seen[TOLD_MAX];
    struct market_rig *m = new_market(swing, BEGIN_S);
    size_t moves = 0;
    for (size_t i = 0; i < TOLD_MAX; i++) {
        seen[i] = offer_at(m, BEGIN_S + 60 * (int64_t)i, WEIR_OFFER_SPOT);
        int64_t price = seen[i].price_micro_per_hour;
        assert_true(price >= LISTED_MICRO / 2 && price <= LISTED_MICRO * 3 / 2);
        moves += i > 0 && price != seen[i - 1].price_micro_per_hour;
    }
    assert_true(moves > TOLD_MAX / 2);
    free_market(m);
    m = new_market(swing, BEGIN_S + 60 * (TOLD_MAX - 1));
    tell_history(m, &seen[0], BEGIN_S + 30);
    assert_int_equal(m->told.n, TOLD_MAX);
    for (size_t i = 0; i < TOLD_MAX; i++) {
        assert_int_equal(m->told.offer[i].price_micro_per_hour, seen[i].price_micro_per_hour);
        assert_int_equal(m->told.offer[i].price_since.us, seen[i].price_since.us);
    }
    free_market(m);
    m = new_market("\"price_every\": \"1m\", \"price_swing\": 0.5, \"seed\": 2", BEGIN_S);
    assert_true(offer_at(m, BEGIN_S, WEIR_OFFER_SPOT).price_micro_per_hour != seen[0].price_micro_per_hour);
    free_market(m);
}

static void prices_that_do_not_move_are_not_dated(void **state)
{
    (void)state;
    struct market_rig *m = new_market("\"seed\": 1", 6000);
    struct weir_offer o = offer_at(m, 6000, WEIR_OFFER_SPOT);
    assert_int_equal(o.price_micro_per_hour, LISTED_MICRO);
    assert_int_equal(o.price_since.us, 0);
    tell_history(m, &o, 5000);
    assert_int_equal(m->told.n, 0);
    free_market(m);
}

/* ---- other currencies ---- */

static int64_t rate_of_usd;

static int64_t rate(void *ctx, const char *currency)
{
    (void)ctx;
    return weir_streq(currency, "USD") ? rate_of_usd : 0;
}

static void prices_of_the_own_list_may_be_in_another_currency(void **state)
{
    (void)state;
    static const struct {
        int64_t rate_nano;
        size_t n;
        int64_t price; /* of the second */
    } rows[] = {{0, 1, 0}, {920000000, 2, 1840000}, {933333333, 2, 1866667}};
    json_t *j = json_loads("{\"mirror\": [], \"offers\": [{\"instance_type\": \"own\", \"price\": 1}, {\"instance_type\": \"usd\", \"price\": 2, \"currency\": \"USD\"}]}", 0, NULL);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct rig g = new_rig();
        uv_loop_t loop;
        assert_int_equal(uv_loop_init(&loop), 0);
        table = weir_gpu_table_new();
        struct weir_provider_env env = {.loop = &loop, .clock = &weir_clock_os, .owner = "me", .data_dir = g.dir, .self_exe = self, .gpus = table,
                                        .rate = rate, .currency = "EUR"};
        struct weir_provider *p = NULL;
        rate_of_usd = rows[i].rate_nano;
        assert_int_equal(weir_sandbox_provider.init(&p, &env, j, NULL), 0);
        struct seen s = {0};
        assert_int_equal(weir_sandbox_provider.offers(p, see, &s), 0);
        while (!s.came) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
        assert_int_equal(s.n, rows[i].n);
        assert_int_equal(s.o[0].price_micro_per_hour, 1000000);
        assert_string_equal(s.o[0].currency, "");
        assert_int_equal(s.o[1].price_micro_per_hour, rows[i].price);
        assert_string_equal(s.o[1].currency, rows[i].n == 2 ? "USD" : "");
        assert_int_equal(s.o[1].rate_nano, rows[i].rate_nano);
        assert_int_equal(s.o[1].original_micro_per_hour, rows[i].n == 2 ? 2000000 : 0);
        assert_string_equal(s.text, rows[i].n == 2 ? "" : "sandbox: offers are left out: no rate of USD is in force: weir rule add NAME exchange --currency USD --rate RATE");
        weir_sandbox_provider.fini(p);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
        weir_gpu_table_free(table);
        free_rig(&g);
    }
    json_decref(j);
}

static void prices_in_another_currency_move_in_it(void **state)
{
    (void)state;
    struct market_rig *m = new_market("\"price_every\": \"10s\", \"price_series\": [1, 2]", 6000);
    json_t *j = json_loads("{\"mirror\": [], \"price_every\": \"10s\", \"price_series\": [1, 2], \"offers\": [{\"instance_type\": \"a\", \"price\": 1, \"spot_price\": 0.4, "
                           "\"currency\": \"USD\"}]}", 0, NULL);
    weir_sandbox_provider.fini(m->p);
    m->env.rate = rate;
    m->env.currency = "EUR";
    rate_of_usd = 920000000;
    assert_int_equal(weir_sandbox_provider.init(&m->p, &m->env, j, NULL), 0);
    struct weir_offer o = offer_at(m, 6010, WEIR_OFFER_SPOT);
    assert_int_equal(o.original_micro_per_hour, LISTED_MICRO * 2);
    assert_int_equal(o.price_micro_per_hour, LISTED_MICRO * 2 * 92 / 100);
    tell_history(m, &o, 6000);
    assert_int_equal(m->told.n, 2);
    assert_int_equal(m->told.offer[0].original_micro_per_hour, LISTED_MICRO);
    assert_int_equal(m->told.offer[0].price_micro_per_hour, LISTED_MICRO * 92 / 100);
    json_decref(j);
    free_market(m);
}

static void the_registry_knows_the_sandbox(void **state)
{
    (void)state;
    assert_ptr_equal(weir_provider_find("sandbox"), &weir_sandbox_provider);
    assert_null(weir_provider_find("sand"));
}

int main(int argc, char **argv)
{
    if (argc > 1 && weir_streq(argv[1], "sandbox-machine")) {
        return weir_sandbox_machine_main(argc - 1, argv + 1);
    }
    if (argc > 1 && weir_streq(argv[1], "agent")) {
        return agent_main(argc, argv);
    }
    if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_agent_gets_the_command_line_that_it_understands),
        cmocka_unit_test(notice_is_a_file_with_the_time),
        cmocka_unit_test(the_end_of_the_agent_is_the_end_of_the_machine),
        cmocka_unit_test(nothing_of_a_machine_outlives_its_termination),
        cmocka_unit_test(a_machine_whose_process_is_killed_is_buried),
        cmocka_unit_test(two_programs_that_launch_one_token_make_one_machine),
        cmocka_unit_test(a_launch_cut_off_while_it_wrote_leaves_nothing_in_the_way),
        cmocka_unit_test(gpus_of_a_model_run_out),
        cmocka_unit_test(configuration_errors_name_the_key),
        cmocka_unit_test(mirrored_offers_say_whose_they_are),
        cmocka_unit_test(a_series_of_prices_is_played_back),
        cmocka_unit_test(prices_by_chance_are_the_same_after_a_restart),
        cmocka_unit_test(prices_that_do_not_move_are_not_dated),
        cmocka_unit_test(prices_of_the_own_list_may_be_in_another_currency),
        cmocka_unit_test(prices_in_another_currency_move_in_it),
        cmocka_unit_test(the_registry_knows_the_sandbox),
    };
    return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
