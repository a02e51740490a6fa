/**
 * How many times as much processor time work takes that is `factor` times as large: about `factor` where it grows in proportion,
 * its square where it grows with the square.
 *
 * The large work is compared with as many small ones as make it up, so that both allocate, and collect garbage, as much. The least
 * of several measurements counts, and they end as soon as the answer is below {@link proportional}: a busy machine, which shares
 * caches and collects garbage late, makes single ones several times as long, but never makes the square look like a line.
 *
 * @param work - does work of a size
 * @param size - the smaller size; work of it should take some milliseconds
 */
export async function growth(work: (size: number) => unknown, size: number, factor = 8): Promise<number> {
  const secondsOf = async (size: number, times: number): Promise<number> => {
    const before = process.cpuUsage()
    for (let i = 0; i < times; i++) await work(size)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1e6
  }
  await work(size) // compiles it
  let small = Number.POSITIVE_INFINITY
  let large = Number.POSITIVE_INFINITY
  let measured = Number.POSITIVE_INFINITY
  for (let round = 0; round < 20 && measured >= proportional; round++) {
    small = Math.max(Math.min(small, (await secondsOf(size, factor)) / factor), 1e-4)
    large = Math.min(large, await secondsOf(size * factor, 1))
    measured = large / small
  }
  return measured
}

/** Between eight times as much, with room for caches and garbage, and its square. */
export const proportional = 24
