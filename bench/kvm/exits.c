/*
 * The least that a user-space hypervisor does: one vCPU in real mode, exits
 * counted. What bench/kvm/run.ts holds Trapframe's exits against.
 *
 *   exits IMAGE COUNT      prints nanoseconds an exit for COUNT exits: wall, CPU
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double cpu(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) fail("/dev/kvm");
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  uint8_t *ram = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  FILE *image = fopen(argv[1], "rb");
  if (vm < 0 || ram == MAP_FAILED || !image || !fread(ram, 1, 1 << 16, image)) fail("setup");
  struct kvm_userspace_memory_region region = { 0, 0, 0, 1 << 16, (uintptr_t)ram };
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region)) fail("memory");
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  struct kvm_run *run = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  struct kvm_sregs sregs;
  ioctl(vcpu, KVM_GET_SREGS, &sregs);
  sregs.cs.base = 0x1000;
  sregs.cs.selector = 0x100;
  ioctl(vcpu, KVM_SET_SREGS, &sregs);
  struct kvm_regs regs = { .rip = 0, .rflags = 2 };
  ioctl(vcpu, KVM_SET_REGS, &regs);
  long count = atol(argv[2]);
  uint32_t last = 0;
  struct timespec begin, end;
  double used = 0;
  for (long n = -1000; n < count; n++) {
    if (n == 0) {
      clock_gettime(CLOCK_MONOTONIC, &begin);
      used = cpu();
    }
    if (ioctl(vcpu, KVM_RUN, 0)) fail("KVM_RUN");
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
      memcpy(&last, (uint8_t *)run + run->io.data_offset, run->io.size);
      break;
    case KVM_EXIT_MMIO:
      if (run->mmio.is_write) memcpy(&last, run->mmio.data, run->mmio.len);
      else memset(run->mmio.data, 0, 8);
      break;
    default:
      fprintf(stderr, "exit %u\n", run->exit_reason);
      return 1;
    }
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  double wall = (end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec);
  printf("%.1f %.1f\n", wall / count, (cpu() - used) / count);
  return 0;
}
