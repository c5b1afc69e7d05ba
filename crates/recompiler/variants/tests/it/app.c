/* A program with one switchable function, its sections written by hand as the compiler plugin would. It checks
   every result, and says at the end what it saw. Ends after SECONDS or at SIGTERM. Usage: app SECONDS THREADS */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char __libc_single_threaded;
uint64_t tidegate_work_total __attribute__((weak, visibility("hidden")));
/* Calls of the base and of hand-written variants; a variant that wants to be told apart counts in its own place. */
static volatile long calls[8];
static __thread long own;
static volatile sig_atomic_t stopped;

static void stop(int signal) { stopped = signal; }

__attribute__((noinline, used)) int triple(int x) {
  calls[0]++;
  /* Something to save. */
  __asm__ volatile("mov $20, %%ecx\n1: dec %%ecx\njnz 1b" : : : "ecx", "cc");
  return 3 * x;
}

__asm__(
    ".section .tidegate.slots,\"aw\",@progbits\n.balign 8\ntriple.slot: .quad triple\n"
    ".section .tidegate.names,\"a\",@progbits\ntriple.name: .ascii \"triple\"\n"
    ".section .tidegate.blobs,\"a\",@progbits\n.balign 8\ntriple.blob: .ascii \"not a blob\"\n"
    ".section .tidegate.anchors,\"a\",@progbits\n.balign 4\n"
    "triple.anchors: .long triple - .\n.byte 0, 0\n.short 0\n.long calls - .\n.byte 1, 0\n.short 0\n"
    ".section .tidegate.functions,\"a\",@progbits\n.balign 8\n"
    ".short 1, 0\n.long triple - .\n.long triple.slot - .\n.long triple.anchors - .\n.long 2\n"
    ".long triple.blob - .\n.long 10\n.long triple.name - .\n.long 6\n.long 5\n"
    ".byte 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16\n.long 0\n.long 0\n.text\n");

static int through_slot(int x) {
  int result;
  __asm__ volatile("call *triple.slot(%%rip)"
                   : "=a"(result), "+D"(x)
                   :
                   : "rsi", "rdx", "rcx", "r8", "r9", "r10", "r11", "memory", "cc");
  return result;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static double end;

static void *work(void *unused) {
  long bad = 0;
  (void)unused;
  do {
    for (int i = 0; i < 10000; i++) {
      bad += through_slot(i) != 3 * i;
      own++;
    }
    __atomic_fetch_add(&tidegate_work_total, 10000, __ATOMIC_RELAXED);
  } while (!stopped && now() < end);
  return (void *)bad;
}

/* Children that serve until told to end, as servers fork them ahead. */
static long prefork(int children) {
  pid_t ids[16];
  long bad = 0;
  for (int i = 0; i < children; i++) {
    ids[i] = fork();
    if (ids[i] == 0) _exit(work(NULL) != NULL);
  }
  bad += (long)work(NULL);
  for (int i = 0; i < children; i++) kill(ids[i], SIGTERM);
  for (int i = 0; i < children; i++) {
    int status = 0;
    waitpid(ids[i], &status, 0);
    bad += status != 0;
  }
  return bad;
}

static volatile sig_atomic_t bad_in_handler, handled;

/* Calls the function from a handler, wherever the thread was. */
static void on_alarm(int signal) {
  (void)signal;
  bad_in_handler += through_slot(77) != 231;
  handled++;
}

static long work_under_signals(void) {
  struct itimerval often = {{0, 500}, {0, 500}};
  signal(SIGALRM, on_alarm);
  setitimer(ITIMER_REAL, &often, NULL);
  long bad = (long)work(NULL);
  setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
  return bad + bad_in_handler + (handled == 0);
}

/* Libraries come and go beside the work. */
static long work_beside_libraries(void) {
  pthread_t worker;
  void *result;
  long bad = 0;
  pthread_create(&worker, NULL, work, NULL);
  for (int i = 0; i < 1000; i++) {
    void *library = dlopen("libutil.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) library = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
    bad += library == NULL;
    if (library) bad += dlclose(library) != 0;
  }
  pthread_join(worker, &result);
  return bad + (long)result;
}

/* A child of a process that kills itself where it would connect. */
static long work_in_filtered_child(void) {
  struct sock_filter lines[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
                                {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_socket},
                                {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
                                {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  struct sock_fprog program = {4, lines};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return 1;
  pid_t child = fork();
  if (child == 0) {
    /* Longer than a helper takes to connect. */
    usleep(300000);
    _exit(work(NULL) != NULL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status != 0;
}

/* Installs a restriction that survives exec, and starts over without asking for it again. */
static void restrict_and_restart(char **argv) {
  struct sock_filter allow_all = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  struct sock_fprog program = {1, &allow_all};
  if (argv[3][0] == 'm') {
    if (prctl(65 /* PR_SET_MDWE */, 1, 0, 0, 0) != 0) return;
  } else {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return;
  }
  argv[3] = NULL;
  execv("/proc/self/exe", argv);
}

int main(int argc, char **argv) {
  int threads = argc > 2 ? atoi(argv[2]) : 1;
  long bad = 0;
  signal(SIGTERM, stop);
  end = now() + (argc > 1 ? atof(argv[1]) : 1);
#ifdef IMPORTS_UNSHARE
  if (threads < 0) unshare(CLONE_NEWNS);
#endif
  if (argc > 3 && argv[3][0] == 'u') {
    /* Another user from here on. */
    usleep(300000);
    bad += setuid(65534) != 0;
    if (argc > 4) bad += prctl(PR_SET_DUMPABLE, 1) != 0;
    bad += (long)work(NULL);
  } else if (argc > 3 && argv[3][0] == 'c') {
    /* Closes what it does not know, and uses the numbers for something else. */
    usleep(300000);
    close_range(3, ~0U, 0);
    int file = open(argv[4], O_RDWR | O_CREAT, 0600);
    for (int number = 500; number < 530; number++) dup2(file, number);
    bad += (long)work(NULL);
    bad += lseek(file, 0, SEEK_END) != 0;
  } else if (argc > 3 && argv[3][0] == 'k') {
    usleep(500000);
    bad += work_in_filtered_child();
  } else if (argc > 3 && argv[3][0] == 'p') {
    usleep(300000);
    bad += prefork(4);
  } else if (argc > 3 && argv[3][0] == 'g') {
    bad += work_under_signals();
  } else if (argc > 3 && argv[3][0] == 'd') {
    bad += work_beside_libraries();
  } else if (argc > 3 && (argv[3][0] == 'm' || argv[3][0] == 's')) {
    restrict_and_restart(argv);
    return 77;
  } else if (argc > 3) {
    /* One child that goes on by itself. */
    usleep(500000);
    pid_t child = fork();
    if (child == 0) {
      bad += (long)work(NULL);
      printf("child bad=%ld\n", bad);
      return bad != 0;
    }
    int status = 0;
    bad += (long)work(NULL);
    waitpid(child, &status, 0);
    bad += status != 0;
  } else if (threads == 1) {
    bad += (long)work(NULL);
  } else {
    pthread_t handles[64];
    for (int i = 0; i < threads; i++) pthread_create(&handles[i], NULL, work, NULL);
    for (int i = 0; i < threads; i++) {
      void *result;
      pthread_join(handles[i], &result);
      bad += (long)result;
    }
  }
  printf("bad=%ld single=%d calls=%d work=%llu first=%ld second=%ld third=%ld\n", bad, __libc_single_threaded,
         calls[0] != 0, (unsigned long long)tidegate_work_total, calls[1], calls[2], calls[3]);
  return bad != 0;
}
