/*
 * base/banned.h - functions that this project does not call; include it last.
 *
 * Each has a safer twin: snprintf, memcpy with a size, base/parse.h for numbers, gmtime_r, base/rng.h.
 */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#define PL_BANNED(f) pl_banned_function_##f

#undef strcpy
#define strcpy(a, b) PL_BANNED(strcpy)
#undef strcat
#define strcat(a, b) PL_BANNED(strcat)
#undef strncpy
#define strncpy(a, b, n) PL_BANNED(strncpy)
#undef strncat
#define strncat(a, b, n) PL_BANNED(strncat)
#undef sprintf
#define sprintf(...) PL_BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) PL_BANNED(vsprintf)
#undef strtok
#define strtok(a, b) PL_BANNED(strtok)
#undef atoi
#define atoi(a) PL_BANNED(atoi)
#undef atol
#define atol(a) PL_BANNED(atol)
#undef strtol
#define strtol(a, b, c) PL_BANNED(strtol)
#undef gmtime
#define gmtime(a) PL_BANNED(gmtime)
#undef localtime
#define localtime(a) PL_BANNED(localtime)
#undef ctime
#define ctime(a) PL_BANNED(ctime)
#undef asctime
#define asctime(a) PL_BANNED(asctime)
#undef rand
#define rand() PL_BANNED(rand)
#undef system
#define system(a) PL_BANNED(system)
#undef popen
#define popen(a, b) PL_BANNED(popen)
#undef alloca
#define alloca(n) PL_BANNED(alloca)
#undef tmpnam
#define tmpnam(a) PL_BANNED(tmpnam)

#endif
