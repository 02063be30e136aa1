/* What every function of the core gives back, and how it is seen from outside. */

#ifndef HW4OPT_CORE_H
#define HW4OPT_CORE_H

#if defined(_WIN32)
#define CORE_API __declspec(dllexport)
#else
#define CORE_API __attribute__((visibility("default")))
#endif

enum { CORE_DONE = 0, CORE_MEMORY = 1, CORE_STOPPED = 2 };

/* Set by another thread to end a call; looked at once a step. */
typedef const volatile int *stop_flag;

#endif
