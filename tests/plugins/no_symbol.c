// tests/plugins/no_symbol.c: a shared object that is no plugin.
int tn_test_no_symbol(void);
int tn_test_no_symbol(void)
{
    return 1;
}
