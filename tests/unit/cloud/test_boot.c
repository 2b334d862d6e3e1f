/* SPDX-License-Identifier: Apache-2.0 */
/* The script that a rented machine boots with: its text, and what it does when it is run in a directory of its own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cloud/boot.h"

static const char *sum_of(void *ctx, const char *arch)
{
    (void)ctx;
    return weir_streq(arch, "x86_64") ? "0123abcd" : NULL;
}

static const struct weir_provider_env with_sums = {.agent_sum = sum_of};
static const struct weir_provider_env without_sums = {0};

static struct weir_launch launch = {.owner = "0123456789abcdef",
                                    .broker_url = "https://weir.example:7070",
                                    .join_token = "join-token-of-lease",
                                    .ca_pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
                                    .lease = {12},
                                    .issued = {INT64_C(1700000000000000)},
                                    .expires = {INT64_C(1700003600000000)}};

static struct weir_boot boot_of(void)
{
    return (struct weir_boot){.launch = &launch, .env = &with_sums, .pool = "aws", .bytes_max = WEIR_BOOT_BYTES_EC2};
}

static void the_text_follows_from_its_inputs(void **state)
{
    (void)state;
    struct weir_boot b = boot_of();
    struct weir_str a = {0};
    struct weir_str again = {0};
    struct weir_err err = {""};
    assert_int_equal(weir_boot_script(&b, &a, &err), 0);
    assert_int_equal(weir_boot_script(&b, &again, &err), 0);
    assert_string_equal(weir_str_cstr(&a), weir_str_cstr(&again));
    assert_true(a.n < 8000);
    assert_memory_equal(a.p, "#!/bin/sh\n", 10);
    assert_non_null(strstr(a.p, "EXPIRES=1700003600\nSPAN=3600\n"));
    assert_non_null(strstr(a.p, "x86_64 | amd64) SUM=0123abcd ;;"));
    assert_null(strstr(a.p, "aarch64"));
    assert_non_null(strstr(a.p, "MIIB\n"));
    weir_str_release(&a);
    weir_str_release(&again);
}

static void what_cannot_stand_in_it_is_refused(void **state)
{
    (void)state;
    struct weir_str s = {0};
    struct weir_err err = {""};
    struct weir_boot b = boot_of();
    b.env = &without_sums;
    assert_int_equal(weir_boot_script(&b, &s, &err), -WEIR_EUNSUPPORTED);
    b.agent = "/usr/bin/weir";
    assert_int_equal(weir_boot_script(&b, &s, &err), 0);
    assert_null(strstr(weir_str_cstr(&s), "curl"));
    b.agent = "/usr/bin/we'ir";
    assert_int_equal(weir_boot_script(&b, &s, &err), -WEIR_EINVAL);
    b = boot_of();
    b.before = "echo a\nWEIR_EOF\nrm -rf /\n";
    assert_int_equal(weir_boot_script(&b, &s, &err), -WEIR_EINVAL);
    b = boot_of();
    b.bytes_max = 1000;
    assert_int_equal(weir_boot_script(&b, &s, &err), -WEIR_ELIMIT);
    assert_non_null(strstr(err.text, "the provider takes 1000"));
    b = boot_of();
    assert_int_equal(weir_boot_container(&b, &s, &err), -WEIR_EINVAL);
    weir_str_release(&s);
}

static const struct weir_launch_link tunnel = {.private_key = "own=",
                                               .preshared_key = "shared=",
                                               .address = "10.77.0.9/32",
                                               .peer = "gateway=",
                                               .endpoint = "gw.example.org:51820",
                                               .routes = "10.0.0.0/8, fd12::/16",
                                               .keepalive_s = 25,
                                               .mtu = 1380};

static void the_link_comes_after_the_end_is_armed_and_before_all_else(void **state)
{
    (void)state;
    struct weir_str s = {0};
    struct weir_err err = {""};
    struct weir_boot b = boot_of();
    struct weir_launch with = launch;
    with.link = &tunnel;
    b.launch = &with;
    b.before = "mount -a\n";
    assert_int_equal(weir_boot_script(&b, &s, &err), 0);
    const char *conf = strstr(weir_str_cstr(&s),
                              "cat > \"$W/weir.conf\" <<'WEIR_EOF'\n"
                              "[Interface]\nPrivateKey = own=\nAddress = 10.77.0.9/32\nMTU = 1380\n"
                              "[Peer]\nPublicKey = gateway=\nPresharedKey = shared=\nEndpoint = gw.example.org:51820\n"
                              "AllowedIPs = 10.0.0.0/8, fd12::/16\nPersistentKeepalive = 25\nWEIR_EOF\n");
    assert_non_null(conf);
    const char *armed = strstr(s.p, "weir-expiry.timer");
    const char *up = strstr(s.p, "wg-quick up");
    const char *before = strstr(s.p, "sh ./before");
    const char *get = strstr(s.p, "/v1/agent/program");
    assert_true(armed != NULL && up != NULL && before != NULL && get != NULL);
    assert_true(armed < conf && conf < up && up < before && before < get);
    assert_true(s.n < 10000);
    assert_null(strstr(s.p, "resolvectl"));
    struct weir_launch_link named = tunnel;
    named.dns = "10.20.0.53 10.20.0.54";
    named.domains = "\"~site.example.org\"";
    with.link = &named;
    assert_int_equal(weir_boot_script(&b, &s, &err), 0);
    assert_non_null(strstr(s.p, "\nPostUp = resolvectl dns %i 10.20.0.53 10.20.0.54 && resolvectl domain %i \"~site.example.org\" || echo weir: names"));
    struct weir_launch_link bad = tunnel;
    bad.routes = "10.0.0.0/8\nPostUp = reboot";
    with.link = &bad;
    assert_int_equal(weir_boot_script(&b, &s, &err), -WEIR_EINVAL);
    with.link = &tunnel;
    b.end = "true\n";
    assert_int_equal(weir_boot_container(&b, &s, &err), -WEIR_EUNSUPPORTED);
    weir_str_release(&s);
}

static void base64_is_padded(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xfe\xfd", "//79"}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_str s = WEIR_STR_INIT(64);
        weir_base64(&s, weir_sv_of(rows[i][0]));
        assert_string_equal(weir_str_cstr(&s), rows[i][1]);
        weir_str_release(&s);
    }
}

/* ---- running it ---- */

static char root[] = "/tmp/weir-boot-XXXXXX";

static void put(const char *name, const char *text, mode_t mode)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static char *take(const char *name)
{
    char path[256];
    char *text = NULL;
    size_t n;
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    return weir_file_read(path, 65536, &text, &n, NULL) == 0 ? text : NULL;
}

/* Until the file is there, at most 20 s: all is done by other processes. */
static char *await(const char *name)
{
    int64_t end = weir_clock_mono(&weir_clock_os).us + 20 * WEIR_US_PER_S;
    while (weir_clock_mono(&weir_clock_os).us < end) {
        char *text = take(name);
        if (text != NULL && text[0] != '\0') {
            return text;
        }
        free(text);
        (void)poll(NULL, 0, 10);
    }
    fail_msg("%s did not come to be", name);
    return NULL;
}

static mode_t mode_of(const char *name)
{
    char path[256];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

/* As a machine would, with what it could do harm with replaced by programs that only note it. Returns when the script has ended. */
static void run_script(const struct weir_boot *b)
{
    struct weir_str s = {0};
    struct weir_err err = {""};
    assert_int_equal(weir_boot_script(b, &s, &err), 0);
    put("user-data", weir_str_cstr(&s), 0600);
    weir_str_release(&s);
    pid_t pid = fork();
    if (pid == 0) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/bin:/usr/bin:/bin", root);
        (void)setenv("PATH", path, 1);
        (void)setenv("WEIR_BOOT_ROOT", root, 1);
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        (void)dup2(null, 0);
        (void)dup2(null, 1);
        (void)dup2(null, 2);
        char script[256];
        (void)snprintf(script, sizeof script, "%s/user-data", root);
        (void)execl("/bin/sh", "sh", script, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)); /* as bin/poweroff does it */
}

static void the_agent_runs_with_its_secrets_in_files(void **state)
{
    (void)state;
    struct weir_boot b = boot_of();
    char agent[64];
    (void)snprintf(agent, sizeof agent, "%s/bin/agent", root);
    b.agent = agent;
    b.env = &without_sums;
    b.name = "i-0123";
    b.notice = "ec2";
    b.before = "echo before > \"$WEIR_BOOT_ROOT/before-ran\"";
    launch.expires = weir_wall_add(weir_clock_wall(&weir_clock_os), weir_dur_s(3));
    launch.issued = (struct weir_wall){0};
    run_script(&b);
    char *args = await("agent-args");
    free(await("before-ran"));
    char want[1024];
    char expires[WEIR_RFC3339_SIZE];
    (void)snprintf(want, sizeof want,
                   "agent --broker https://weir.example:7070 --token-file %s/var/lib/weir/token --data %s/var/lib/weir/agent --lease 12 "
                   "--lease-expires %s --pool aws --power-off %s/var/lib/weir/end --name i-0123 --ca %s/var/lib/weir/ca.pem --notice ec2\n",
                   root, root, weir_wall_format(launch.expires, expires), root, root);
    assert_string_equal(args, want);
    free(args);
    char *token = take("var/lib/weir/token");
    assert_string_equal(token, "join-token-of-lease\n");
    free(token);
    assert_int_equal(mode_of("var/lib/weir/token"), 0600);
    char *watch = take("var/lib/weir/end");
    assert_memory_equal(watch, "#!/bin/sh\npoweroff", 18);
    free(watch);
    /* The end is armed: a lease that is over ends the machine though the agent does nothing; not before, where it was extended. */
    char later[32];
    struct weir_wall extended = weir_wall_add(launch.expires, weir_dur_s(2));
    (void)snprintf(later, sizeof later, "%lld\n", (long long)extended.us);
    put("var/lib/weir/agent/lease-expires", later, 0600);
    assert_null(take("powered-off"));
    free(await("powered-off"));
    assert_true(weir_clock_wall(&weir_clock_os).us >= extended.us - WEIR_US_PER_S); /* the machine counts whole seconds */
}

static void a_lease_that_is_over_ends_the_machine_at_once(void **state)
{
    (void)state;
    struct weir_boot b = boot_of();
    launch.expires = weir_clock_wall(&weir_clock_os);
    run_script(&b); /* it never comes to the download */
    free(await("powered-off"));
}

static void a_clock_that_is_behind_does_not_keep_the_machine(void **state)
{
    (void)state;
    struct weir_boot b = boot_of();
    b.agent = "/bin/true";
    launch.expires = weir_wall_add(weir_clock_wall(&weir_clock_os), weir_dur_s(86400)); /* as it seems to the machine */
    launch.issued = weir_wall_add(launch.expires, weir_dur_s(-2));
    run_script(&b);
    free(await("powered-off"));
}

/* Files that nothing can be written to stand for a disk that is full. */
static void a_machine_that_cannot_keep_its_end_ends_at_once(void **state)
{
    (void)state;
    static const char *const full[] = {"", "end", "watch", "expires", "expires-uptime"};
    struct weir_boot b = boot_of();
    b.agent = "/bin/true";
    for (size_t i = 0; i < WEIR_ARRAY_LEN(full); i++) {
        char path[256];
        launch.expires = weir_wall_add(weir_clock_wall(&weir_clock_os), weir_dur_s(86400));
        launch.issued = (struct weir_wall){0};
        if (full[i][0] == '\0') {
            put("var", "not a directory", 0600);
        } else {
            static const char *const above[] = {"var", "var/lib", "var/lib/weir"};
            for (size_t k = 0; k < WEIR_ARRAY_LEN(above); k++) {
                (void)snprintf(path, sizeof path, "%s/%s", root, above[k]);
                (void)mkdir(path, 0700);
            }
            (void)snprintf(path, sizeof path, "%s/var/lib/weir/%s", root, full[i]);
            (void)unlink(path);
            assert_int_equal(symlink("/dev/full", path), 0);
        }
        run_script(&b);
        free(await("powered-off"));
        (void)snprintf(path, sizeof path, "%s/powered-off", root);
        assert_int_equal(unlink(path), 0);
        (void)snprintf(path, sizeof path, "%s/var%s%s", root, full[i][0] == '\0' ? "" : "/lib/weir/", full[i]);
        assert_int_equal(unlink(path), 0);
    }
}

static int make_root(void **state)
{
    (void)state;
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    if (mkdtemp(root) == NULL) {
        return -1;
    }
    char path[256];
    (void)snprintf(path, sizeof path, "%s/bin", root);
    (void)mkdir(path, 0700);
    /* Each ends what the script has left running, as cutting the power would: the loop that watches. */
    put("bin/poweroff", "#!/bin/sh\necho off > \"$WEIR_BOOT_ROOT/powered-off\"\nkill -9 $PPID\n", 0700);
    put("bin/agent", "#!/bin/sh\necho \"$@\" > \"$WEIR_BOOT_ROOT/agent-args\"\n", 0700);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_follows_from_its_inputs),
        cmocka_unit_test(what_cannot_stand_in_it_is_refused),
        cmocka_unit_test(the_link_comes_after_the_end_is_armed_and_before_all_else),
        cmocka_unit_test(base64_is_padded),
        cmocka_unit_test_setup_teardown(the_agent_runs_with_its_secrets_in_files, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_lease_that_is_over_ends_the_machine_at_once, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_clock_that_is_behind_does_not_keep_the_machine, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_machine_that_cannot_keep_its_end_ends_at_once, make_root, remove_root),
    };
    return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
