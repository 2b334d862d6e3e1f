/* SPDX-License-Identifier: Apache-2.0 */

/* What the agent finds on a host and makes of it for a task: devices, groups, environment, files. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above */
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "agent/agent.h"
#include "agent/cgroup.h"
#include "agent/container.h"
#include "agent/hardware.h"
#include "agent/launch.h"
#include "agent/record.h"
#include "agent/runlog.h"
#include "agent/start.h"
#include "base/mem.h"

static char root[256];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/weir-test-host-XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    return weir_dir_remove(root, 1000) ? 0 : -1;
}

/* Writes root/name, with all its directories. */
static void put(const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *p = path + strlen(root) + 1; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(path, 0755);
            *p = '/';
        }
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static const char *get(const char *name)
{
    static char text[4096];
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    return weir_slurp(path, text, sizeof text) < 0 ? "(none)" : text;
}

/* ---- devices ---- */

static void declared_gpus_are_listed(void **state)
{
    (void)state;
    struct weir_gpu_table *t = weir_gpu_table_new();
    struct weir_hardware h;
    const struct weir_hardware_conf c = {.gpus = "a100:2,T4", .cpu_milli = 8000, .mem_mib = 1000};
    assert_int_equal(weir_hardware_find(&h, &c, t, NULL), 0);
    assert_int_equal(h.n_gpus, 3);
    assert_string_equal(h.gpu[0].model, "A100");
    assert_string_equal(h.gpu[2].model, "T4");
    assert_int_equal(h.gpu[2].index, 2);
    assert_true(h.gpu[0].mem_mib >= 40000 && h.gpu[0].watts > h.gpu[0].idle_watts);
    assert_true(h.declared);
    assert_int_equal(h.cpu_milli, 8000);
    weir_hardware_release(&h);
    weir_gpu_table_free(t);
}

static void bad_declarations_say_how(void **state)
{
    (void)state;
    struct weir_gpu_table *t = weir_gpu_table_new();
    static const char *const bad[] = {":4", "A100:x", "A100:0", "A100:33", "A100:20,T4:20", "A100:-1", ",A100"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct weir_hardware h;
        struct weir_err err = {0};
        const struct weir_hardware_conf c = {.gpus = bad[i]};
        assert_int_equal(weir_hardware_find(&h, &c, t, &err), -WEIR_EINVAL);
        assert_non_null(strstr(err.text, "declared GPUs"));
    }
    weir_gpu_table_free(t);
}

static void a_model_that_nobody_knows_is_doubted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *doubt; /* "": none */
    } row[] = {
        {"A100:4,t4", ""},
        {"FOO:4", "'FOO' is no known GPU model: nothing is known of its memory"},
        {"A100:1,H10O:2", "'H10O' is no known GPU model: did you mean 'H100'?"},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        WEIR_CLEANUP(weir_str_release) struct weir_str doubt = WEIR_STR_INIT(1024);
        assert_int_equal(weir_agent_check_gpus(row[i].text, &doubt, NULL), 0);
        assert_true(weir_sv_starts(weir_str_sv(&doubt), weir_sv_of(row[i].doubt)) && (doubt.n == 0) == (row[i].doubt[0] == '\0'));
    }
}

static void nvml_devices_are_found(void **state)
{
    (void)state;
    struct weir_gpu_table *t = weir_gpu_table_new();
    struct weir_hardware h;
    uint64_t mj = 0;
    const struct weir_hardware_conf c = {.nvml_path = FAKE_NVML, .sys_root = root};
    assert_int_equal(weir_hardware_find(&h, &c, t, NULL), 0);
    assert_int_equal(h.n_gpus, 4);
    assert_int_equal(h.energy, WEIR_ENERGY_NVML);
    assert_string_equal(h.gpu[3].uuid, "GPU-00000003");
    assert_int_equal(h.gpu[0].mem_mib, 81920);
    assert_int_equal(h.gpu[1].dev_major, 195);
    assert_int_equal(h.gpu[1].dev_minor, 5);
    assert_string_equal(h.gpu[1].path, "/dev/nvidia5");
    assert_true(h.gpu[0].watts > 0);
    assert_int_equal(h.gpu[0].link_group, h.gpu[1].link_group);
    assert_int_equal(h.gpu[2].link_group, h.gpu[3].link_group);
    assert_true(h.gpu[0].link_group != 0 && h.gpu[2].link_group != 0);
    assert_int_not_equal(h.gpu[0].link_group, h.gpu[2].link_group);
    assert_true(weir_device_energy_mj(&h, &h.gpu[2], &mj));
    assert_int_equal(mj, 3000);
    weir_hardware_release(&h);
    weir_gpu_table_free(t);
}

static void host_without_a_driver_has_no_gpus(void **state)
{
    (void)state;
    struct weir_gpu_table *t = weir_gpu_table_new();
    struct weir_hardware h;
    const struct weir_hardware_conf c = {.nvml_path = "libno-such-library.so", .sys_root = root};
    assert_int_equal(weir_hardware_find(&h, &c, t, NULL), 0);
    assert_int_equal(h.n_gpus, 0);
    assert_true(h.cpu_milli >= 1000 && h.mem_mib > 0);
    weir_hardware_release(&h);
    weir_gpu_table_free(t);
}

static void amd_cards_are_found_in_sysfs(void **state)
{
    (void)state;
    put("class/drm/card0/device/vendor", "0x8086\n");
    put("class/drm/card1/device/vendor", "0x1002\n");
    put("class/drm/card1/device/mem_info_vram_total", "68702699520\n");
    put("class/drm/card1/device/product_name", "AMD Instinct MI210\n");
    put("class/drm/card1/device/unique_id", "abc123\n");
    put("class/drm/card1/device/drm/renderD129/dev", "226:129\n");
    put("class/drm/card1/device/hwmon/hwmon4/energy1_input", "5000000\n");
    struct weir_gpu_table *t = weir_gpu_table_new();
    struct weir_hardware h;
    uint64_t mj = 0;
    const struct weir_hardware_conf c = {.nvml_path = "libno-such-library.so", .sys_root = root};
    assert_int_equal(weir_hardware_find(&h, &c, t, NULL), 0);
    assert_int_equal(h.n_gpus, 1);
    assert_int_equal(h.gpu[0].kind, WEIR_DEVICE_AMD);
    assert_string_equal(h.gpu[0].uuid, "AMD-abc123");
    assert_int_equal(h.gpu[0].mem_mib, 65520);
    assert_string_equal(h.gpu[0].path, "/dev/dri/renderD129");
    assert_int_equal(h.gpu[0].dev_minor, 129);
    assert_true(weir_device_energy_mj(&h, &h.gpu[0], &mj));
    assert_int_equal(mj, 5000);
    weir_hardware_release(&h);
    weir_gpu_table_free(t);
}

static void quotas_and_meminfo_are_read(void **state)
{
    (void)state;
    assert_int_equal(weir_cpu_milli_from_quota(150000, 100000), 1500);
    assert_int_equal(weir_cpu_milli_from_quota(-1, 100000), 0);
    assert_int_equal(weir_cpu_milli_from_quota(1, 0), 0);
    assert_int_equal(weir_meminfo_total_mib(WEIR_SV("MemTotal:       2048000 kB\nMemFree: 1 kB\n")), 2000);
    assert_int_equal(weir_meminfo_total_mib(WEIR_SV("nonsense")), 0);
}

/* ---- control groups on a tree of plain files ---- */

static void v2_group_is_made_and_limited(void **state)
{
    (void)state;
    struct weir_cgroups c;
    struct weir_cgroup g;
    put("svc/cgroup.controllers", "cpuset cpu io memory pids\n");
    put("svc/cgroup.subtree_control", "");
    put("svc/weir-agent/cgroup.procs", "");
    char text[64];
    weir_cgroups_find(&c, root, "0::/svc\n");
    assert_int_equal(c.kind, WEIR_CGROUP_V2);
    assert_string_equal(weir_cgroups_describe(&c, text, sizeof text), "v2 (memory, cpu, pids)");
    put("svc/t1/memory.max", "");
    put("svc/t1/cpu.weight", "");
    put("svc/t1/memory.events", "low 0\noom 1\noom_kill 2\n");
    const struct weir_cgroup_limits l = {.mem_mib = 512, .cpu_milli = 2000};
    weir_cgroup_make(&c, "t1", &l, &g);
    assert_int_equal(g.kind, WEIR_CGROUP_V2);
    assert_string_equal(get("svc/t1/memory.max"), "536870912");
    assert_string_equal(get("svc/t1/cpu.weight"), "200");
    assert_int_equal(g.oom_before, 2);
    put("svc/t1/memory.events", "oom_kill 3\n");
    uint64_t kills = 0;
    assert_true(weir_cgroup_oom_kills(&g, &kills));
    assert_int_equal(kills, 3);
}

static void v1_groups_are_made_per_controller(void **state)
{
    (void)state;
    struct weir_cgroups c;
    struct weir_cgroup g;
    put("memory/x/tasks", "");
    put("devices/tasks", "");
    weir_cgroups_find(&c, root, "4:memory:/x\n5:devices:/\n0::/\n");
    assert_int_equal(c.kind, WEIR_CGROUP_V1);
    assert_int_equal(c.controllers, WEIR_CGROUP_MEMORY | WEIR_CGROUP_DEVICES);
    put("memory/x/weir/t1/memory.limit_in_bytes", "");
    put("memory/x/weir/t1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
    put("devices/weir/t1/devices.deny", "");
    const struct weir_cgroup_limits l = {
        .mem_mib = 64, .cpu_milli = 1000, .deny_device = {{195, 1}}, .n_deny_devices = 1};
    weir_cgroup_make(&c, "t1", &l, &g);
    assert_int_equal(g.controllers, WEIR_CGROUP_MEMORY | WEIR_CGROUP_DEVICES);
    assert_string_equal(get("memory/x/weir/t1/memory.limit_in_bytes"), "67108864");
    assert_string_equal(get("devices/weir/t1/devices.deny"), "c 195:1 rwm");
}

/* In a child, in a view of the file system of its own. 0: as it should be; 1: not; 2: this host does not let us try. */
static int try_device_filter(void)
{
    struct weir_cgroups c = {.kind = WEIR_CGROUP_V2, .controllers = WEIR_CGROUP_DEVICES};
    struct weir_cgroup g;
    (void)snprintf(c.base[0], sizeof c.base[0], "%s", root);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("none", root, "cgroup2", 0, NULL) < 0 ||
        !weir_device_filter_works(root)) {
        return 2;
    }
    const struct weir_cgroup_limits l = {.deny_device = {{1, 9}, {1, 7}, {195, 1}}, .n_deny_devices = 3}; /* urandom, full */
    weir_cgroup_make(&c, "weir-test-devices", &l, &g);
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = weir_cgroup_enter(&g) && open("/dev/full", O_RDONLY) < 0 && open("/dev/urandom", O_RDONLY) < 0 &&
                  open("/dev/null", O_RDWR) >= 0 && open("/dev/zero", O_RDONLY) >= 0;
        _exit(ok ? 0 : 1);
    }
    int status = 1;
    (void)waitpid(pid, &status, 0);
    bool ok = g.controllers == WEIR_CGROUP_DEVICES && status == 0 && open("/dev/full", O_RDONLY) >= 0;
    weir_cgroup_remove(&g);
    return ok && access(g.path[0], F_OK) != 0 ? 0 : 1;
}

/* Set before the tests are listed. */
static int device_filter_result;

static void find_device_filter_result(void)
{
    int status = 0;
    (void)snprintf(root, sizeof root, "/tmp/weir-test-host-XXXXXX");
    if (mkdtemp(root) == NULL) {
        device_filter_result = 2;
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        _exit(try_device_filter());
    }
    device_filter_result = waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    (void)rmdir(root);
}

static void v2_closes_devices_by_a_program(void **state)
{
    (void)state;
    assert_true(device_filter_result == 0 || device_filter_result == 2);
}

static void no_group_is_no_failure(void **state)
{
    (void)state;
    struct weir_cgroups c;
    struct weir_cgroup g;
    uint64_t kills = 0;
    const struct weir_cgroup_limits l = {.mem_mib = 64};
    weir_cgroups_find(&c, root, "0::/nowhere\n");
    assert_int_equal(c.kind, WEIR_CGROUP_NONE);
    weir_cgroup_make(&c, "t1", &l, &g);
    assert_int_equal(g.controllers, 0);
    assert_true(weir_cgroup_enter(&g));
    assert_false(weir_cgroup_oom_kills(&g, &kills));
    assert_false(weir_cgroup_kill(&g));
    weir_cgroups_find(&c, "", "0::/\n");
    assert_int_equal(c.kind, WEIR_CGROUP_NONE);
}

/* ---- a start ---- */

static struct weir_gpu_table *models;
static struct weir_hardware hardware;

static struct weir_start start_of(const char *spec, const char *more)
{
    char text[4096];
    struct weir_start s = {0};
    struct weir_err err = {0};
    (void)snprintf(text,
                   sizeof text,
                   "{\"run\":{\"job\":12,\"ordinal\":3,\"attempt\":2},\"index\":7,\"task_count\":10,\"index_min\":4,\"index_max\":40,"
                   "\"user\":\"ada\",\"project\":\"vision\",\"spec\":%s%s}",
                   spec,
                   more);
    json_t *v = json_loads(text, 0, NULL);
    assert_non_null(v);
    if (models == NULL) {
        models = weir_gpu_table_new();
    }
    if (weir_start_read(v, models, &s, &err) < 0) {
        fail_msg("%s", err.text);
    }
    json_decref(v);
    return s;
}

static struct weir_env_facts facts_of(void)
{
    return (struct weir_env_facts){.host = "host1",
                                   .user = "root",
                                   .home = "/root",
                                   .shell = "/bin/sh",
                                   .path = "/bin",
                                   .lang = "C",
                                   .tz = "",
                                   .address = "10.0.0.5",
                                   .run_dir = "/r",
                                   .workdir = "/w",
                                   .node_name = "n1",
                                   .pool = "local",
                                   .hardware = &hardware};
}

static void expect(const struct weir_env *e, const char *key, const char *want)
{
    const char *got = weir_env_get(e, key);
    if (want == NULL ? got != NULL : got == NULL || strcmp(got, want) != 0) {
        fail_msg("%s is '%s', not '%s'", key, got == NULL ? "(unset)" : got, want == NULL ? "(unset)" : want);
    }
}

static void slurm_script_finds_its_names(void **state)
{
    (void)state;
    struct weir_start s = start_of(
        "{\"name\":\"sweep\",\"origin\":\"slurm\",\"run\":\"#!/bin/sh\\n\",\"array\":\"4-40:4\",\"resources\":{\"cpus\":4,\"memory\":\"2G\"}}",
        ",\"array\":true,\"gpus\":[1,2],\"rank\":1,\"nodes\":2,\"addresses\":[\"10.0.0.5\",\"10.0.0.6\"]");
    struct weir_env e = {0};
    struct weir_env_facts f = facts_of();
    weir_env_build(&e, &s, &f);
    expect(&e, "SLURM_ARRAY_JOB_ID", "12");
    expect(&e, "SLURM_ARRAY_TASK_ID", "7");
    expect(&e, "SLURM_ARRAY_TASK_MIN", "4");
    expect(&e, "SLURM_ARRAY_TASK_MAX", "40");
    expect(&e, "SLURM_ARRAY_TASK_COUNT", "10");
    expect(&e, "SLURM_ARRAY_TASK_STEP", "4");
    expect(&e, "SLURM_JOB_ID", "12000003");
    expect(&e, "SLURM_JOB_NAME", "sweep");
    expect(&e, "SLURM_CPUS_PER_TASK", "4");
    expect(&e, "SLURM_MEM_PER_NODE", "2048");
    expect(&e, "SLURM_NNODES", "2");
    expect(&e, "SLURM_NODEID", "1");
    expect(&e, "SLURM_RESTART_COUNT", "1");
    expect(&e, "SLURM_GPUS_ON_NODE", "2");
    expect(&e, "SLURM_JOB_GPUS", "1,2");
    expect(&e, "SLURM_JOB_NODELIST", "10.0.0.5,10.0.0.6");
    expect(&e, "CUDA_VISIBLE_DEVICES", "1,2");
    expect(&e, "WEIR_TASK_ID", "12_7");
    expect(&e, "WEIR_ATTEMPT", "2");
    expect(&e, "SKYPILOT_NODE_IPS", "10.0.0.5\n10.0.0.6");
    weir_env_release(&e);
    f.gpus_isolated = true;
    weir_env_build(&e, &s, &f);
    expect(&e, "CUDA_VISIBLE_DEVICES", "0,1");
    expect(&e, "WEIR_GPUS", "1,2");
    weir_env_release(&e);
    weir_start_release(&s);
}

static void devices_after_a_broken_one_keep_their_numbers(void **state)
{
    (void)state;
    struct weir_start s = start_of("{\"run\":\"x\"}", ",\"gpus\":[0,1]");
    struct weir_hardware h = {.n_gpus = 3};
    for (uint32_t i = 0; i < 3; i++) { /* number 1 is broken */
        h.gpu[i] = (struct weir_device){.kind = WEIR_DEVICE_NVIDIA, .index = i == 0 ? 0 : i + 1};
        (void)snprintf(h.gpu[i].uuid, sizeof h.gpu[i].uuid, "GPU-%c", 'a' + (char)i);
    }
    struct weir_env e = {0};
    struct weir_env_facts f = facts_of();
    f.hardware = &h;
    weir_env_build(&e, &s, &f);
    expect(&e, "CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b");
    expect(&e, "NVIDIA_VISIBLE_DEVICES", "0,2");
    expect(&e, "WEIR_GPUS", "0,2");
    weir_env_release(&e);
    f.gpus_isolated = true;
    weir_env_build(&e, &s, &f);
    expect(&e, "CUDA_VISIBLE_DEVICES", "0,1");
    weir_env_release(&e);
    const struct weir_container c = {.tool = WEIR_CONTAINER_PODMAN, .path = "podman", .cdi = true};
    struct weir_argv a = {0};
    char *command[] = {(char[]){"true"}, NULL};
    s.spec->image = weir_strdup("img");
    assert_int_equal(weir_container_argv(&c, &s, &h, &e, "weir-1", "/r", "/w", command, &a, NULL), 0);
    bool found = false;
    for (size_t i = 0; i < a.n; i++) {
        found = found || strcmp(a.p[i], "nvidia.com/gpu=2") == 0;
        assert_string_not_equal(a.p[i], "nvidia.com/gpu=1");
    }
    assert_true(found);
    weir_argv_release(&a);
    weir_start_release(&s);
}

static void other_jobs_do_not_look_like_slurm(void **state)
{
    (void)state;
    struct weir_start s = start_of("{\"run\":\"x\",\"envs\":{\"WEIR_USER\":\"forged\",\"HOME\":\"/else\"}}", "");
    struct weir_env e = {0};
    const struct weir_env_facts f = facts_of();
    weir_env_build(&e, &s, &f);
    expect(&e, "SLURM_JOBID", NULL);
    expect(&e, "SLURM_NTASKS", NULL);
    expect(&e, "SLURM_ARRAY_TASK_ID", NULL);
    expect(&e, "SLURM_JOB_ID", "12");
    expect(&e, "WEIR_TASK_ID", "12");
    expect(&e, "WEIR_USER", "ada");
    expect(&e, "HOME", "/else");
    expect(&e, "CUDA_VISIBLE_DEVICES", "");
    expect(&e, "NVIDIA_VISIBLE_DEVICES", "void");
    expect(&e, "TZ", NULL);
    weir_env_release(&e);
    weir_start_release(&s);
}

static void patterns_expand_as_in_slurm(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *want;
    } rows[] = {
        {"slurm-%A_%a.out", "slurm-12_7.out"},
        {"%3a-%06A", "007-000012"},
        {"%j", "12000003"},
        {"%x.%u.%N.%n.%t", "sweep.root.host1.0.0"},
        {"100%%", "100%"},
        {"%q %", "%q %"},
        {"%", "%"},
        {"a\\%j", "a%j"},
        {"%99999999999999a", "0000000007"},
    };
    struct weir_start s = start_of("{\"name\":\"sweep\",\"run\":\"x\",\"array\":\"4-40:4\"}", ",\"array\":true");
    const struct weir_env_facts f = facts_of();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_str out = WEIR_STR_INIT(256);
        weir_pattern_expand(rows[i].pattern, &s, &f, &out);
        assert_string_equal(weir_str_cstr(&out), rows[i].want);
        weir_str_release(&out);
    }
    weir_start_release(&s);
}

static void bad_starts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "{\"run\":{\"job\":1,\"ordinal\":0,\"attempt\":1}}",
        "{\"run\":{\"job\":1,\"ordinal\":0,\"attempt\":1},\"spec\":{\"name\":\"x\"}}",
        "{\"run\":{\"job\":1,\"ordinal\":0,\"attempt\":1},\"spec\":{\"run\":\"x\"},\"gpus\":[99]}",
        "{\"run\":{\"job\":1,\"ordinal\":0,\"attempt\":1},\"spec\":{\"run\":\"x\"},\"rank\":-1}",
        "{\"run\":{\"job\":1,\"ordinal\":0,\"attempt\":1},\"spec\":{\"run\":\"x\"},\"max_duration_us\":\"1h\"}",
    };
    struct weir_gpu_table *t = weir_gpu_table_new();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct weir_start s;
        struct weir_err err = {0};
        json_t *v = json_loads(bad[i], 0, NULL);
        assert_true(weir_start_read(v, t, &s, &err) < 0);
        assert_true(err.text[0] != '\0');
        json_decref(v);
    }
    weir_gpu_table_free(t);
}

static void container_command_passes_names_not_values(void **state)
{
    (void)state;
    struct weir_start s = start_of("{\"run\":\"x\",\"resources\":{\"image_id\":\"docker:a/b:1\",\"memory\":\"1G\"},\"envs\":{\"KEY\":\"secret\"}}", "");
    const struct weir_env_facts f = facts_of();
    struct weir_env e = {0};
    struct weir_argv a = {0};
    struct weir_err err = {0};
    char sh[] = "/bin/sh", *command[] = {sh, NULL};
    struct weir_container c = {.tool = WEIR_CONTAINER_PODMAN, .path = "/usr/bin/podman"};
    weir_env_build(&e, &s, &f);
    assert_int_equal(weir_container_argv(&c, &s, &hardware, &e, "weir-1", "/r", "/w", command, &a, &err), 0);
    bool key = false, image = false, memory = false;
    for (size_t i = 0; i < a.n; i++) {
        assert_null(strstr(a.p[i], "secret"));
        key = key || strcmp(a.p[i], "KEY") == 0;
        image = image || strcmp(a.p[i], "a/b:1") == 0;
        memory = memory || strcmp(a.p[i], "--memory=1024m") == 0;
        assert_string_not_equal(a.p[i], "PATH");
    }
    assert_true(key && image && memory);
    assert_string_equal(a.p[a.n - 1], "/bin/sh");
    weir_argv_release(&a);
    c.tool = WEIR_CONTAINER_NONE;
    assert_int_equal(weir_container_argv(&c, &s, &hardware, &e, "weir-1", "/r", "/w", command, &a, &err), -WEIR_EUNAVAIL);
    assert_non_null(strstr(err.text, "install"));
    weir_env_release(&e);
    weir_start_release(&s);
}

/* ---- records and logs ---- */

static void record_tells_how_far_a_run_came(void **state)
{
    (void)state;
    char dir[300];
    int fd = -1;
    bool locked = false;
    struct weir_record r;
    const struct weir_record_start s = {.run = {{{12}, 3}, 1}, .ticket = "5a", .n_gpus = 1, .gpu = {2}, .gpu_mj = {99}, .checkpoint = "/c"};
    (void)snprintf(dir, sizeof dir, "%s/12_3_1", root);
    assert_int_equal(weir_record_read(dir, &r, &locked, NULL), -WEIR_ENOTFOUND);
    assert_int_equal(weir_record_make(dir, NULL, &s, &fd, NULL), 0);
    assert_int_equal(weir_record_make(dir, NULL, &s, &fd, NULL), -WEIR_EEXISTS);
    assert_int_equal(weir_record_read(dir, &r, &locked, NULL), 0);
    assert_true(locked);
    assert_int_equal(r.pid, 0);
    assert_int_equal(r.start.gpu_mj[0], 99);
    assert_string_equal(r.start.ticket, "5a");
    assert_int_equal(weir_record_add_started(fd, 100, 101, (struct weir_wall){5}), 0);
    const struct weir_agent_end end = {.reason = WEIR_REASON_TIMEOUT, .signal = 9, .ended = {6}};
    assert_int_equal(weir_record_add_end(fd, &end), 0);
    (void)close(fd);
    assert_int_equal(weir_record_read(dir, &r, &locked, NULL), 0);
    assert_false(locked);
    assert_int_equal(r.pid, 100);
    assert_int_equal(r.task_pid, 101);
    assert_true(r.has_end);
    assert_int_equal(r.end.reason, WEIR_REASON_TIMEOUT);
}

static void forgotten_directory_serves_another_run(void **state)
{
    (void)state;
    char dir[300], spare[300], other[300];
    int fd = -1;
    bool locked = false;
    struct weir_record r;
    const struct weir_record_start s = {.run = {{{1}, 0}, 1}}, t = {.run = {{{2}, 0}, 1}};
    (void)snprintf(dir, sizeof dir, "%s/1_0_1", root);
    (void)snprintf(other, sizeof other, "%s/2_0_1", root);
    (void)snprintf(spare, sizeof spare, "%s/spare", root);
    assert_int_equal(weir_record_make(dir, NULL, &s, &fd, NULL), 0);
    (void)close(fd);
    put("1_0_1/cwd/left", "by the task");
    assert_false(weir_record_retire(dir, spare));
    put("1_0_1/log", "output");
    char left[400];
    (void)snprintf(left, sizeof left, "%s/cwd/left", dir);
    assert_int_equal(unlink(left), 0);
    assert_true(weir_record_retire(dir, spare));
    assert_int_equal(weir_record_make(other, spare, &t, &fd, NULL), 0);
    assert_int_equal(weir_record_read(other, &r, &locked, NULL), 0);
    assert_int_equal(r.start.run.task.job.v, 2);
    assert_int_equal(r.pid, 0);
    assert_string_equal(get("2_0_1/log"), "(none)");
    (void)close(fd);
}

static void torn_record_is_a_run_that_was_never_started(void **state)
{
    (void)state;
    char dir[300];
    bool locked = false;
    struct weir_record r;
    struct weir_err err = {0};
    (void)snprintf(dir, sizeof dir, "%s/1_0_1", root);
    put("1_0_1/record.jsonl", "{\"run\":{\"job\":1");
    assert_int_equal(weir_record_read(dir, &r, &locked, &err), -WEIR_ENOTFOUND);
    put("1_0_1/record.jsonl", "garbage\n");
    assert_int_equal(weir_record_read(dir, &r, &locked, &err), -WEIR_ECORRUPT);
}

static void stop_is_kept_in_a_file(void **state)
{
    (void)state;
    const struct weir_stop stop = {.signal = 10, .grace = {60000000}, .reason = WEIR_REASON_PREEMPT};
    struct weir_stop got = {0};
    assert_int_equal(weir_stop_read(root, &got), -WEIR_ENOTFOUND);
    assert_int_equal(weir_stop_write(root, &stop, NULL), 0);
    assert_int_equal(weir_stop_read(root, &got), 0);
    assert_int_equal(got.signal, 10);
    assert_int_equal(got.grace.us, 60000000);
    assert_int_equal(got.reason, WEIR_REASON_PREEMPT);
}

static void log_never_passes_its_limit(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 3000, 4096, 4097, 5000, 100000};
    static const size_t chunks[] = {1, 7, 1000, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t k = 0; k < sizeof chunks / sizeof chunks[0]; k++) {
            struct weir_run_log l;
            static char piece[70000];
            struct stat st;
            (void)unlink("log");
            weir_run_log_init(&l, 4096);
            for (size_t at = 0; at < sizes[i]; at += chunks[k]) {
                size_t n = sizes[i] - at < chunks[k] ? sizes[i] - at : chunks[k];
                for (size_t b = 0; b < n; b++) {
                    piece[b] = (char)('a' + (at + b) % 26);
                }
                weir_run_log_write(&l, piece, n);
            }
            weir_run_log_finish(&l);
            uint64_t size = stat("log", &st) == 0 ? (uint64_t)st.st_size : 0;
            assert_int_equal(size, l.size);
            assert_true(size <= 4096);
            if (sizes[i] <= 2700) {
                assert_int_equal(size, sizes[i]);
            }
            if (size > 0) {
                char last = 0;
                int fd = open("log", O_RDONLY);
                assert_int_equal(pread(fd, &last, 1, (off_t)size - 1), 1);
                (void)close(fd);
                assert_int_equal(last, 'a' + (char)((sizes[i] - 1) % 26));
            }
        }
    }
    (void)unlink("log");
}

/* What any task would meet on this host is told apart from what is wrong with the task. */
static void hosts_faults_are_told_from_the_tasks(void **state)
{
    (void)state;
    struct weir_err err = {0};
    pid_t pid = 0;
    char word[] = "true", *argv[] = {word, NULL}, *env[] = {NULL};
    struct weir_launch_plan plan = {.argv = argv, .env = env, .workdir = "/", .out_fd = -1, .err_fd = -1};
    assert_int_equal(weir_launch_resolve(&plan, NULL, &err), 0);
    assert_int_equal(weir_launch(&plan, &pid, &err), -WEIR_EUNAVAIL);
    plan.out_fd = plan.err_fd = STDERR_FILENO;
    plan.workdir = "/nonexistent";
    assert_int_equal(weir_launch(&plan, &pid, &err), -WEIR_EIO);
    assert_int_equal(chdir("/proc"), 0); /* nothing can be made here, by root neither */
    assert_int_equal(weir_launch_write("script", "true", 0700, &err), -WEIR_EUNAVAIL);
}

static int in_root(void **state)
{
    return setup(state) != 0 ? -1 : chdir(root);
}

static int out_of_root(void **state)
{
    return chdir("/") != 0 ? -1 : teardown(state);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    find_device_filter_result();
    /* cmocka's own skip() prints "not ok"; the name carries the directive instead. */
    const char *filter_name = device_filter_result != 2 ? "v2_closes_devices_by_a_program"
                                                        : "v2_closes_devices_by_a_program # SKIP cgroup2 cannot be mounted, or no program loaded";
    const struct CMUnitTest tests[] = {
        T(declared_gpus_are_listed),
        T(a_model_that_nobody_knows_is_doubted),
        T(bad_declarations_say_how),
        T(nvml_devices_are_found),
        T(host_without_a_driver_has_no_gpus),
        T(amd_cards_are_found_in_sysfs),
        T(quotas_and_meminfo_are_read),
        T(v2_group_is_made_and_limited),
        T(v1_groups_are_made_per_controller),
        {filter_name, v2_closes_devices_by_a_program, NULL, NULL, NULL},
        T(no_group_is_no_failure),
        T(slurm_script_finds_its_names),
        T(devices_after_a_broken_one_keep_their_numbers),
        T(other_jobs_do_not_look_like_slurm),
        T(patterns_expand_as_in_slurm),
        T(bad_starts_are_refused),
        T(container_command_passes_names_not_values),
        T(record_tells_how_far_a_run_came),
        T(forgotten_directory_serves_another_run),
        T(torn_record_is_a_run_that_was_never_started),
        T(stop_is_kept_in_a_file),
        cmocka_unit_test_setup_teardown(log_never_passes_its_limit, in_root, out_of_root),
        cmocka_unit_test_setup_teardown(hosts_faults_are_told_from_the_tasks, in_root, out_of_root),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    if (models != NULL) {
        weir_gpu_table_free(models);
    }
    return rc;
}
