/** By code unit, which no machine's language changes. */
export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
