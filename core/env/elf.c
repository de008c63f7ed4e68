// core/env/elf.c: looks at a shared object without running it: may it be mapped, what does it need?
//
// Source of the format: System V ABI, chapter 4 and 5; <elf.h> of glibc. Every number in the file
// is taken as hostile: offsets are checked against the size of the file before they are used.
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/env/env.h"

enum {
    MAX_DYNAMIC = 4096, // entries of a dynamic section that are read
    MAX_NAME = 256      // bytes of a library's name
};

typedef ElfW(Ehdr) elf_header;
typedef ElfW(Phdr) elf_segment;
typedef ElfW(Dyn) elf_dyn;

typedef struct reader {
    int fd;
    uint64_t size; // of the file, bytes
} reader;

static bool read_at(const reader *r, uint64_t offset, void *out, size_t bytes)
{
    if (offset > r->size || bytes > r->size - offset) return false;
    return pread(r->fd, out, bytes, (off_t)offset) == (ssize_t)bytes;
}

// ------------------------------------------------------------------ checks before dlopen

static const char *class_name(unsigned char class)
{
    return class == ELFCLASS64   ? "64-bit"
           : class == ELFCLASS32 ? "32-bit"
                                 : "neither 32 nor 64-bit";
}

static const char *machine_name(unsigned machine)
{
    switch (machine) {
    case EM_386: return "x86";
    case EM_X86_64: return "x86-64";
    case EM_ARM: return "ARM";
    case EM_AARCH64: return "AArch64";
    case EM_PPC64: return "PowerPC64";
    case EM_S390: return "S/390";
    case EM_RISCV: return "RISC-V";
    default: return "another";
    }
}

// Any object in this shared object, for dladdr.
static const char anchor = 0;

// The header of the object that this code is in: what a file of this machine looks like.
static const elf_header *own_header(void)
{
    Dl_info info;
    return dladdr(&anchor, &info) ? info.dli_fbase : NULL;
}

static bool check_header(const elf_header *h, const elf_header *own, tni_error *error)
{
    const unsigned char *id = h->e_ident, *mine = own->e_ident;
    if (memcmp(id, ELFMAG, SELFMAG) != 0)
        tni_fail(error, TN_E_FORMAT, NULL, "not an ELF file: it begins with %02x %02x %02x %02x",
                 id[0], id[1], id[2], id[3]);
    else if (id[EI_CLASS] != mine[EI_CLASS])
        tni_fail(error, TN_E_INCOMPATIBLE, NULL, "a %s object, this process is %s",
                 class_name(id[EI_CLASS]), class_name(mine[EI_CLASS]));
    else if (id[EI_DATA] != mine[EI_DATA])
        tni_fail(error, TN_E_INCOMPATIBLE, NULL, "an object of the other byte order");
    else if (h->e_machine != own->e_machine)
        tni_fail(error, TN_E_INCOMPATIBLE, NULL, "built for machine %u (%s), this is %u (%s)",
                 h->e_machine, machine_name(h->e_machine), own->e_machine,
                 machine_name(own->e_machine));
    else if (h->e_type != ET_DYN)
        tni_fail(error, TN_E_FORMAT, NULL, "an ELF file of type %u, wanted a shared object (%u)",
                 h->e_type, ET_DYN);
    else if (h->e_phentsize != sizeof(elf_segment) || h->e_phnum == 0)
        tni_fail(error, TN_E_FORMAT, NULL,
                 "%u program headers of %u bytes each, wanted some of %zu", h->e_phnum,
                 h->e_phentsize, sizeof(elf_segment));
    return error->status == TN_OK;
}

static bool cut_off(const reader *r, uint64_t wanted, tni_error *error)
{
    tni_fail(error, TN_E_FORMAT, NULL,
             "cut off: its headers speak of %llu bytes, the file has %llu",
             (unsigned long long)wanted, (unsigned long long)r->size);
    return false;
}

// Everything that the headers speak of must be in the file: mapping a cut-off file works, and
// touching what is not there kills the process.
static bool check_extents(const reader *r, const elf_header *h, tni_error *error)
{
    bool dynamic = false;
    for (unsigned i = 0; i < h->e_phnum; i++) {
        elf_segment p;
        const uint64_t at = h->e_phoff + (uint64_t)i * sizeof p;
        if (at < h->e_phoff || !read_at(r, at, &p, sizeof p))
            return cut_off(r, at < h->e_phoff ? UINT64_MAX : at + sizeof p, error);
        const uint64_t end = (uint64_t)p.p_offset + p.p_filesz;
        if (p.p_type != PT_LOAD && p.p_type != PT_DYNAMIC) continue;
        if (end < p.p_offset || end > r->size)
            return cut_off(r, end < p.p_offset ? UINT64_MAX : end, error);
        if (p.p_type == PT_DYNAMIC) dynamic = true;
    }
    if (h->e_shoff) {
        // 0 headers means that the number is in the first one.
        const uint64_t bytes = (uint64_t)(h->e_shnum ? h->e_shnum : 1) * h->e_shentsize;
        if (h->e_shoff > r->size || bytes > r->size - h->e_shoff)
            return cut_off(r, h->e_shoff > UINT64_MAX - bytes ? UINT64_MAX : h->e_shoff + bytes,
                           error);
    }
    if (dynamic) return true;
    tni_fail(error, TN_E_FORMAT, NULL, "no dynamic section: not a shared object");
    return false;
}

bool tni_elf_check(int fd, tni_error *error)
{
    struct stat st;
    elf_header header;
    const elf_header *own = own_header();
    if (fstat(fd, &st) != 0) {
        tni_fail(error, TN_E_IO, NULL, "cannot look at it: %s", strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        tni_fail(error, TN_E_FORMAT, NULL, "%s, wanted a regular file",
                 S_ISDIR(st.st_mode) ? "a directory" : "no regular file");
        return false;
    }
    if (!own) {
        tni_fail(error, TN_E_INTERNAL, NULL, "cannot find this library's own ELF header");
        return false;
    }
    const reader r = {fd, (uint64_t)st.st_size};
    if (!read_at(&r, 0, &header, sizeof header)) {
        tni_fail(error, TN_E_FORMAT, NULL, "%llu bytes: too short for an ELF file",
                 (unsigned long long)st.st_size);
        return false;
    }
    return check_header(&header, own, error) && check_extents(&r, &header, error);
}

// ------------------------------------------------------------------ after dlopen failed

// The dynamic section and where addresses lie in the file.
typedef struct dynamic {
    reader file;
    elf_header header;
    uint64_t offset, entries; // of the section
    uint64_t strings;         // offset of the string table in the file
} dynamic;

static bool phdr_at(const dynamic *d, unsigned i, elf_segment *p)
{
    return read_at(&d->file, d->header.e_phoff + (uint64_t)i * sizeof *p, p, sizeof *p);
}

// Offset in the file of an address in memory; UINT64_MAX if no segment holds it.
static uint64_t file_offset(const dynamic *d, uint64_t address)
{
    elf_segment p;
    for (unsigned i = 0; i < d->header.e_phnum && phdr_at(d, i, &p); i++)
        if (p.p_type == PT_LOAD && address >= p.p_vaddr && address - p.p_vaddr < p.p_filesz)
            return p.p_offset + (address - p.p_vaddr);
    return UINT64_MAX;
}

static bool dyn_at(const dynamic *d, uint64_t i, elf_dyn *out)
{
    return i < d->entries && read_at(&d->file, d->offset + i * sizeof *out, out, sizeof *out) &&
           out->d_tag != DT_NULL;
}

static bool dynamic_find(int fd, dynamic *d)
{
    struct stat st;
    elf_segment p;
    elf_dyn entry;
    memset(d, 0, sizeof *d);
    if (fstat(fd, &st) != 0) return false;
    d->file = (reader){fd, (uint64_t)st.st_size};
    if (!read_at(&d->file, 0, &d->header, sizeof d->header)) return false;
    for (unsigned i = 0; i < d->header.e_phnum && phdr_at(d, i, &p); i++) {
        if (p.p_type != PT_DYNAMIC) continue;
        d->offset = p.p_offset;
        d->entries = p.p_filesz / sizeof entry;
    }
    if (d->entries > MAX_DYNAMIC) d->entries = MAX_DYNAMIC;
    d->strings = UINT64_MAX;
    for (uint64_t i = 0; dyn_at(d, i, &entry); i++)
        if (entry.d_tag == DT_STRTAB) d->strings = file_offset(d, entry.d_un.d_ptr);
    return d->strings != UINT64_MAX;
}

// The NUL-terminated text at that place of the string table; false if there is none.
static bool string_at(const dynamic *d, uint64_t at, char out[MAX_NAME])
{
    for (size_t i = 0; i < MAX_NAME; i++) {
        if (at > UINT64_MAX - d->strings - i || !read_at(&d->file, d->strings + at + i, out + i, 1))
            return false;
        if (out[i] == 0) return i > 0;
    }
    return false;
}

// True if message speaks of that name as a whole word.
static bool mentions(const char *message, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = strstr(message, name); at; at = strstr(at + 1, name)) {
        const char before = at == message ? ' ' : at[-1], after = at[n];
        if ((before == ' ' || before == '"') && (after == ':' || after == ' ' || after == 0))
            return true;
    }
    return false;
}

// glibc begins with the file that it could not open, which may be a dependency of a dependency.
static const char *missing_by_message(const char *path, const char *message, tni_arena *arena)
{
    const char *end = strstr(message, ": cannot open shared object file");
    if (!end || strncmp(message, path, (size_t)(end - message)) == 0) return NULL;
    return tni_strndup(arena, message, (size_t)(end - message));
}

const char *tni_elf_missing(const char *path, const char *message, tni_arena *arena)
{
    const char *found = NULL;
    dynamic d;
    elf_dyn entry;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    const bool readable = dynamic_find(fd, &d);
    for (uint64_t i = 0; readable && !found && dyn_at(&d, i, &entry); i++) {
        char name[MAX_NAME];
        if (entry.d_tag != DT_NEEDED || !string_at(&d, entry.d_un.d_val, name)) continue;
        if (mentions(message, name)) found = tni_strdup(arena, name);
    }
    close(fd);
    return found ? found : missing_by_message(path, message, arena);
}
