// SPDX-License-Identifier: GPL-2.0
/*
 * refs FILES COMPILER-ARGUMENTS...: what C code refers to.
 *
 * Parses one translation unit as the compiler would, and prints each function,
 * variable, field, type, constant and macro that a line of FILES (a file with
 * a path a line) names: kind, name, file and line where it is declared, file and
 * line where it is named, with tabs between.
 *
 * What a macro refers to in its own text is the macro's business: only what stands
 * in the line counts, and that includes a macro's arguments.
 */
#include <clang-c/Index.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file {
	char *path;
	char *text;
	size_t len;
};

static struct file files[1024];
static unsigned int nr_files;

static char *slurp(const char *path, size_t *len)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t cap = 0;

	*len = 0;
	while (f && !feof(f)) {
		cap += 1 << 16;
		text = realloc(text, cap);
		*len += fread(text + *len, 1, cap - *len, f);
	}
	if (f)
		fclose(f);
	return text;
}

static void read_files(const char *list)
{
	char line[4096];
	FILE *f = fopen(list, "r");

	while (f && fgets(line, sizeof(line), f) && nr_files < 1024) {
		line[strcspn(line, "\n")] = 0;
		files[nr_files++].path = strdup(line);
	}
	if (f)
		fclose(f);
}

/* One of FILES, or NULL; the location is that of what is written in the file. */
static struct file *place(CXSourceLocation at, unsigned int *line, unsigned int *offset)
{
	struct file *found = NULL;
	CXString name;
	CXFile file;
	unsigned int i;

	clang_getFileLocation(at, &file, line, NULL, offset);
	if (!file)
		return NULL;
	name = clang_getFileName(file);
	for (i = 0; i < nr_files && !found; i++) {
		if (!strcmp(files[i].path, clang_getCString(name)))
			found = &files[i];
	}
	clang_disposeString(name);
	if (found && !found->text)
		found->text = slurp(found->path, &found->len);
	return found;
}

static const char *kind_of(CXCursor to)
{
	switch (clang_getCursorKind(to)) {
	case CXCursor_FunctionDecl:
		return "function";
	case CXCursor_VarDecl:
		/* A local one is nobody else's. */
		if (clang_getCursorKind(clang_getCursorSemanticParent(to)) !=
		    CXCursor_TranslationUnit)
			return NULL;
		return "variable";
	case CXCursor_FieldDecl:
		return "field";
	case CXCursor_EnumConstantDecl:
		return "constant";
	case CXCursor_StructDecl:
	case CXCursor_UnionDecl:
	case CXCursor_EnumDecl:
	case CXCursor_TypedefDecl:
		return "type";
	case CXCursor_MacroDefinition:
		return "macro";
	default:
		return NULL;
	}
}

/* The structure that has it, with a name: not one inside that has none. */
static void print_owner(CXCursor field)
{
	CXCursor parent = clang_getCursorSemanticParent(field);
	CXString name;

	while (clang_Cursor_isAnonymous(parent) &&
	       clang_getCursorKind(clang_getCursorSemanticParent(parent)) != CXCursor_TranslationUnit)
		parent = clang_getCursorSemanticParent(parent);
	name = clang_getTypeSpelling(clang_getCursorType(parent));
	if (strchr(clang_getCString(name), '('))
		printf("?.");
	else
		printf("%s.", strrchr(clang_getCString(name), ' ') ?
		       strrchr(clang_getCString(name), ' ') + 1 : clang_getCString(name));
	clang_disposeString(name);
}

/* Whether the file says this name there, and not just something that begins with it. */
static int says(const struct file *file, size_t at, const char *name)
{
	size_t len = strlen(name);

	return len && at + len < file->len && !memcmp(file->text + at, name, len) &&
	       !isalnum((unsigned char)file->text[at + len]) && file->text[at + len] != '_';
}

static void refer(CXCursor from)
{
	CXCursor to = clang_getCursorReferenced(from);
	CXCursor at = clang_getCursorDefinition(to);
	unsigned int line, offset, to_line;
	const char *kind = kind_of(to);
	struct file *file;
	CXString name, to_path;
	CXFile to_file;

	if (!kind)
		return;
	file = place(clang_getCursorLocation(from), &line, &offset);
	if (!file)
		return;
	name = clang_getCursorSpelling(to);
	/* What a macro's text refers to seems to be where the macro is: not written there. */
	if (says(file, offset, clang_getCString(name))) {
		if (clang_Cursor_isNull(at))
			at = clang_getCanonicalCursor(to);
		clang_getFileLocation(clang_getCursorLocation(at), &to_file, &to_line, NULL, NULL);
		if (to_file) {
			to_path = clang_getFileName(to_file);
			printf("%s\t", kind);
			if (!strcmp(kind, "field"))
				print_owner(to);
			printf("%s\t%s\t%u\t%s\t%u\n", clang_getCString(name),
			       clang_getCString(to_path), to_line, file->path, line);
			clang_disposeString(to_path);
		}
	}
	clang_disposeString(name);
}

static enum CXChildVisitResult visit(CXCursor c, CXCursor parent, CXClientData top)
{
	unsigned int line, offset;

	if (top && !place(clang_getCursorLocation(c), &line, &offset))
		return CXChildVisit_Continue;
	refer(c);
	clang_visitChildren(c, visit, NULL);
	return CXChildVisit_Continue;
}

int main(int argc, char **argv)
{
	CXTranslationUnit unit;
	unsigned int i, bad = 0;
	enum CXErrorCode err;

	if (argc < 3)
		return 2;
	read_files(argv[1]);
	err = clang_parseTranslationUnit2(clang_createIndex(0, 0), NULL,
					  (const char *const *)argv + 2, argc - 2, NULL, 0,
					  CXTranslationUnit_DetailedPreprocessingRecord, &unit);
	if (err) {
		fprintf(stderr, "refs: cannot parse (error %d)\n", err);
		return 1;
	}
	for (i = 0; i < clang_getNumDiagnostics(unit); i++) {
		CXDiagnostic d = clang_getDiagnostic(unit, i);

		if (clang_getDiagnosticSeverity(d) >= CXDiagnostic_Error) {
			CXString text = clang_formatDiagnostic(d, 0x3f);

			fprintf(stderr, "%s\n", clang_getCString(text));
			clang_disposeString(text);
			bad = 1;
		}
	}
	clang_visitChildren(clang_getTranslationUnitCursor(unit), visit, "top");
	return bad;
}
