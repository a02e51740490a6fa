/**
 * How many times as much processor time work takes that is `factor` times as large: about `factor` where it grows in proportion,
 * its square where it grows with the square. What else the machine does matters little to it, unlike to a clock on the wall.
 *
 * @param work - does work of a size
 * @param size - the smaller size; work of it should take some milliseconds
 */
export async function growth(work: (size: number) => unknown, size: number, factor = 8): Promise<number> {
  const secondsOf = async (size: number): Promise<number> => {
    const before = process.cpuUsage()
    await work(size)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1e6
  }
  await work(size) // compiles it
  const small = [await secondsOf(size), await secondsOf(size), await secondsOf(size)]
  const large = [await secondsOf(size * factor), await secondsOf(size * factor)]
  return Math.min(...large) / Math.max(Math.min(...small), 1e-4)
}

/** Between eight times as much, with room for caches and garbage, and its square. */
export const proportional = 24
