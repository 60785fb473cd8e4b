/** With which the lab says that it cannot be here; sysexits.h calls it EX_UNAVAILABLE. */
export const NO_LAB = 69;
