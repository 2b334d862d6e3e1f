/* SPDX-License-Identifier: Apache-2.0 */
#include "device_filter.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

enum { HEAD = 4, PER_DEVICE = 4, TAIL = 2, INSNS_MAX = HEAD + PER_DEVICE * WEIR_DEVICE_FILTER_MAX + TAIL };

/* The C library has no wrapper. */
static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, cmd, attr, sizeof *attr);
}

static struct bpf_insn insn(uint8_t code, unsigned dst, unsigned src, int16_t off, int32_t imm)
{
    return (struct bpf_insn){.code = code, .dst_reg = dst & 0xfU, .src_reg = src & 0xfU, .off = off, .imm = imm};
}

/*
 * r1 is a struct bpf_cgroup_dev_ctx; r2..r4 become its type, major, minor; r0 the verdict, 1: allowed.
 * Returns how many instructions it has.
 */
static unsigned write_program(struct bpf_insn *p, const struct weir_device_number *deny, unsigned n)
{
    const uint8_t load = BPF_LDX | BPF_MEM | BPF_W, not_equal = BPF_JMP | BPF_JNE | BPF_K, set = BPF_ALU64 | BPF_MOV | BPF_K;
    const uint8_t exit_code = BPF_JMP | BPF_EXIT;
    unsigned at = 0;
    p[at++] = insn(load, BPF_REG_2, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
    p[at++] = insn(BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff); /* above it is what is to be done with the device */
    p[at++] = insn(load, BPF_REG_3, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
    p[at++] = insn(load, BPF_REG_4, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
    for (unsigned i = 0; i < n; i++) {
        /* where it differs, on to the next device's; the verdict stands before it is asked for */
        p[at++] = insn(set, BPF_REG_0, 0, 0, 0);
        p[at++] = insn(not_equal, BPF_REG_3, 0, 2, (int32_t)deny[i].major);
        p[at++] = insn(not_equal, BPF_REG_4, 0, 1, (int32_t)deny[i].minor);
        /* to the end with 0, if it is a character device */
        p[at++] = insn(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_2, 0, (int16_t)(PER_DEVICE * (n - 1 - i) + 1), BPF_DEVCG_DEV_CHAR);
    }
    p[at++] = insn(set, BPF_REG_0, 0, 0, 1);
    p[at++] = insn(exit_code, 0, 0, 0, 0);
    return at;
}

static int load(const struct weir_device_number *deny, unsigned n)
{
    struct bpf_insn program[INSNS_MAX];
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    WEIR_ASSERT(n <= WEIR_DEVICE_FILTER_MAX);
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insn_cnt = write_program(program, deny, n);
    attr.insns = (uint64_t)(uintptr_t)program;
    attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
    return bpf(BPF_PROG_LOAD, &attr);
}

/* Beside what others have attached or will: with several, all must allow. */
static bool attach(int group, int program, enum bpf_cmd cmd)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.target_fd = (uint32_t)group;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = cmd == BPF_PROG_ATTACH ? BPF_F_ALLOW_MULTI : 0;
    return bpf(cmd, &attr) == 0;
}

bool weir_device_filter_attach(const char *cgroup_dir, const struct weir_device_number *deny, unsigned n)
{
    WEIR_CLEANUP(weir_closep) int group = open(cgroup_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    WEIR_CLEANUP(weir_closep) int program = group < 0 ? -1 : load(deny, n);
    return program >= 0 && attach(group, program, BPF_PROG_ATTACH);
}

bool weir_device_filter_works(const char *cgroup_dir)
{
    WEIR_CLEANUP(weir_closep) int group = open(cgroup_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    WEIR_CLEANUP(weir_closep) int program = group < 0 ? -1 : load(NULL, 0);
    return program >= 0 && attach(group, program, BPF_PROG_ATTACH) && attach(group, program, BPF_PROG_DETACH);
}
