/* Return codes and visibility of the core's functions. */

#ifndef HW4OPT_CORE_H
#define HW4OPT_CORE_H

#if defined(_WIN32)
#define CORE_API __declspec(dllexport)
#else
#define CORE_API __attribute__((visibility("default")))
#endif

enum { CORE_DONE = 0, CORE_MEMORY = 1, CORE_STOPPED = 2 };

/* Set by another thread to stop a call; read in every step. */
typedef const volatile int *stop_flag;

#endif
