// A page of docs/ that is made from a table of the program: printed, or compared with the file.
#ifndef TOOLS_DOCS_PAGE_H_
#define TOOLS_DOCS_PAGE_H_

#include <stdio.h>

//     PROGRAM                    prints the page
//     PROGRAM --check FILE       fails unless FILE is that page
// Gives main's exit status.
int docs_page_main(int argc, char **argv, void (*print)(FILE *out));
// Text in a cell of a Markdown table.
void docs_page_cell(FILE *out, const char *text);

#endif // TOOLS_DOCS_PAGE_H_
