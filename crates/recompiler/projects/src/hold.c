/* Preloaded into the processes of a suite: holds those that have a second thread before `main` (tidegate's helper), until
   the file $TIDEGATE_HOLD/<pid> is there, or for ten minutes. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef int (*main_function)(int, char **, char **);

static main_function real_main;

static int threads(void) {
  DIR *tasks = opendir("/proc/self/task");
  int count = 0;
  if (!tasks) return 1;
  for (struct dirent *task; (task = readdir(tasks));) count += task->d_name[0] != '.';
  closedir(tasks);
  return count;
}

static int held_main(int count, char **arguments, char **environment) {
  const char *folder = getenv("TIDEGATE_HOLD");
  char path[4096];
  if (folder && threads() > 1) {
    snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
    for (int tries = 0; tries < 60000 && access(path, F_OK) != 0; tries++) usleep(10000);
  }
  return real_main(count, arguments, environment);
}

int __libc_start_main(main_function start, int count, char **arguments, main_function init, void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end) {
  int (*next)(main_function, int, char **, main_function, void (*)(void), void (*)(void), void *) =
      dlsym(RTLD_NEXT, "__libc_start_main");
  real_main = start;
  return next(held_main, count, arguments, init, fini, rtld_fini, stack_end);
}
