#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/agent.h"
#include "base/parse.h"
#include "broker/broker.h"
#include "cloud/sandbox/sandbox.h"
#include "command.h"
static char exe[4096];
int tmp_serve(int argc, char **argv);
int tmp_agent(int argc, char **argv);
int tmp_machine(int argc, char **argv);
static char *slurp(const char *f){ static char b[16384]; int fd=open(f,O_RDONLY); ssize_t n=read(fd,b,sizeof b-1); b[n<0?0:n]=0; close(fd); for(char*p=b;*p;p++) if((*p=='\n')&&p[1]==0) *p=0; return strdup(b);}
int tmp_serve(int argc, char **argv)
{
    struct weir_broker_conf c = {.log_level = WEIR_LOG_INFO};
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1); (void)n; c.self_exe = exe;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--listen")) c.listen = argv[++i];
        else if (!strcmp(argv[i], "--data")) c.data_dir = argv[++i];
        else if (!strcmp(argv[i], "--config")) c.config_file = argv[++i];
        else if (!strcmp(argv[i], "--declare-gpus")) c.declare_gpus = argv[++i];
        else if (!strcmp(argv[i], "--no-agent")) c.no_agent = true;
    }
    struct weir_err err = {""};
    int r = weir_broker_main(&c, &err);
    if (r) fprintf(stderr, "weir serve: %s\n", err.text);
    return weir_error_exit_status(r);
}
int tmp_agent(int argc, char **argv)
{
    struct weir_agent_conf c = {0};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--broker")) c.url = argv[++i];
        else if (!strcmp(argv[i], "--token-file")) c.token = slurp(argv[++i]);
        else if (!strcmp(argv[i], "--ca")) c.ca_pem = slurp(argv[++i]);
        else if (!strcmp(argv[i], "--data")) c.dir = argv[++i];
        else if (!strcmp(argv[i], "--name")) c.name = argv[++i];
        else if (!strcmp(argv[i], "--pool")) c.pool = argv[++i];
        else if (!strcmp(argv[i], "--lease")) { uint64_t v=0; weir_parse_u64(weir_sv_of(argv[++i]),0,UINT64_MAX,&v,NULL); c.lease=v; }
        else if (!strcmp(argv[i], "--lease-expires")) weir_parse_time(weir_sv_of(argv[++i]), &c.lease_expires, NULL);
        else if (!strcmp(argv[i], "--notice-file")) c.notice_path = argv[++i];
        else if (!strcmp(argv[i], "--declare-gpus")) c.gpus = argv[++i];
        else if (!strcmp(argv[i], "--declare-cpus")) {int64_t v=0; weir_parse_decimal(weir_sv_of(argv[++i]),3,&v,NULL); c.cpu_milli=(uint32_t)v;}
        else if (!strcmp(argv[i], "--declare-memory")) {uint64_t v=0; weir_parse_bytes(weir_sv_of(argv[++i]),1<<20,&v,NULL); c.mem_mib=v>>20;}
    }
    struct weir_err err = {""};
    int r = weir_agent_main(&c, &err);
    if (r) fprintf(stderr, "weir agent: %s\n", err.text);
    return weir_error_exit_status(r);
}
int tmp_machine(int argc, char **argv) { return weir_sandbox_machine_main(argc, argv); }
