/* The least that a scan of a Postfix queue costs: opens every file below the given directories, reads its envelope with the system
 * calls that etrnd makes for it (which also has the kernel leave access times alone), and counts the pending recipients by walking the
 * records. One thread. Prints one JSON object. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static long files, pending;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Type byte, length in seven bits a byte, data. What lies behind the content is within the same page for all but large messages,
 * and this counts none of those. */
static void walk_records(const unsigned char *bytes, size_t count)
{
    for (size_t at = 0; at + 2 <= count;) {
        int type = bytes[at++], shift = 0;
        size_t length = 0;
        for (; at < count; shift += 7) {
            unsigned char byte = bytes[at++];
            length |= (size_t)(byte & 0x7f) << shift;
            if (!(byte & 0x80))
                break;
        }
        if (type == 'E')
            break;
        if (type == 'R')
            pending++;
        at += length;
    }
}

static void read_file(int directory, const char *name)
{
    unsigned char bytes[4096];
    struct stat status;
    ssize_t got;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0700) == 0700) {
        if ((got = pread(fd, bytes, sizeof bytes, 0)) > 0)
            walk_records(bytes, (size_t)got);
        files++;
    }
    close(fd);
}

static int visit(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    if (!directory)
        return -1;
    while ((entry = readdir(directory)))
        if (entry->d_name[0] == '.')
            continue;
        else if (!entry->d_name[1])
            visit(fd, entry->d_name);
        else
            read_file(fd, entry->d_name);
    closedir(directory);
    return 0;
}

int main(int count, char **arguments)
{
    double start = now();
    for (int i = 1; i < count; i++)
        if (visit(AT_FDCWD, arguments[i]) < 0) {
            fprintf(stderr, "scan_files: %s: %s\n", arguments[i], strerror(errno));
            return 1;
        }
    printf("{\"files\": %ld, \"pending\": %ld, \"ms\": %.3f}\n", files, pending, (now() - start) * 1e3);
    return 0;
}
