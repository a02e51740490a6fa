/**
 * Unbiased estimate of the probability that at least one of k answers is right, from n answers of which `right` are:
 * 1 − C(n − right, k) / C(n, k), as a product of factors from 0 to 1. k is at most n.
 */
export function passAtK(n: number, right: number, k: number): number {
  if (k < 1 || k > n) throw new RangeError(`Expected k from 1 to ${n} but received ${k}`)
  if (n - right < k) return 1
  let allWrong = 1
  for (let m = n - right + 1; m <= n; m++) allWrong *= 1 - k / m
  return 1 - allWrong
}
