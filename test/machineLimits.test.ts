import { availableParallelism, totalmem } from 'node:os'
import { expect, test } from 'vitest'
import { coreLimits, memoryLimits, memoryOfProcess, threadsOfProcess } from '../lib/machineLimits.js'

const unifiedMount = '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate'
const legacyMounts = [
  '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct',
  '35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory',
].join('\n')

/** What a system has in these files; no others. */
const reader = (files: Record<string, string>) => (path: string) => files[path]

test('of a job of Slurm, whose limit is on a group above the process', () => {
  const job = '/sys/fs/cgroup/system.slice/slurmstepd.scope/job_7'
  const read = reader({
    '/proc/self/cgroup': '0::/system.slice/slurmstepd.scope/job_7/step_batch/user/task_0\n',
    '/proc/self/mountinfo': `${unifiedMount}\n`,
    [`${job}/memory.max`]: '8589934592\n',
    [`${job}/memory.high`]: 'max\n',
    [`${job}/step_batch/user/task_0/memory.max`]: 'max\n',
    [`${job}/step_batch/user/memory.max`]: '4294967296\n',
    [`${job}/cpu.max`]: '150000 100000\n',
    [`${job}/step_batch/cpu.max`]: 'max 100000\n',
  })
  expect(memoryLimits(read)).toEqual([8589934592, 4294967296])
  expect(coreLimits(read)).toEqual([1.5])
})

test('of a container, which sees its own group at the mount point', () => {
  for (const [group, root] of [
    ['/', '/'],
    ['/../..', '/'],
    ['/docker/abc', '/docker/abc'],
  ]) {
    const read = reader({
      '/proc/self/cgroup': `0::${group}\n`,
      '/proc/self/mountinfo': unifiedMount.replace(' / ', ` ${root} `),
      '/sys/fs/cgroup/memory.max': '2147483648\n',
      '/sys/fs/cgroup/memory.high': '1073741824\n',
      '/sys/fs/cgroup/cpu.max': '200000 100000\n',
    })
    expect([memoryLimits(read), coreLimits(read)]).toEqual([[2147483648, 1073741824], [2]])
  }
})

test('of version 1, where none is a number past all memory, or -1', () => {
  const read = reader({
    '/proc/self/cgroup': '4:memory:/lxc/one two\n3:cpuset:/\n2:cpu,cpuacct:/lxc\n0::/\n',
    '/proc/self/mountinfo': legacyMounts.replaceAll('/sys/fs', '/my\\040sys'),
    '/my sys/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    '/my sys/cgroup/memory/lxc/memory.limit_in_bytes': '3221225472\n',
    '/my sys/cgroup/cpu,cpuacct/lxc/cpu.cfs_quota_us': '50000\n',
    '/my sys/cgroup/cpu,cpuacct/lxc/cpu.cfs_period_us': '100000\n',
    '/my sys/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '-1\n',
    '/my sys/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n',
  })
  expect(memoryLimits(read)).toEqual([Number(9223372036854771712n), 3221225472])
  expect(coreLimits(read)).toEqual([0.5])
})

test('of a system without control groups there is none', () => {
  expect([memoryLimits(reader({})), coreLimits(reader({}))]).toEqual([[], []])
})

test('of this process are within the machine', () => {
  expect(memoryOfProcess()).toBeGreaterThan(2 ** 20)
  expect(memoryOfProcess()).toBeLessThanOrEqual(totalmem())
  expect(threadsOfProcess()).toBeGreaterThanOrEqual(1)
  expect(threadsOfProcess()).toBeLessThanOrEqual(availableParallelism())
})
