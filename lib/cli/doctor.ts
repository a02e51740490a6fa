import { freemem } from 'node:os'
import { freeBytes } from '../files/outputDirectory.js'
import { memoryOfProcess, threadsOfProcess } from '../machineLimits.js'
import type { DeviceReport } from '../native/devices.js'
import { requestedInstructionSet } from '../native/instructionSet.js'
import type { Native } from '../native/native.js'
import { formatTable } from '../text/format.js'
import { formatBytes } from '../text/formatUnits.js'
import { findTrainer } from '../train/findTrainer.js'
import { version } from '../version.js'
import { printJson, printText } from './print.js'

interface Diagnosis {
  version: string
  node: string
  platform: string
  /** Absent when there is no working native build; `error` then says why. */
  native?: {
    path: string | undefined
    compiler: string
    instructionSets: string[]
    instructionSet: string
    ioUring: boolean
    cuda: DeviceReport
  }
  error?: string
  /** Path of branchmerge-trainer; null where there is none. */
  trainer: string | null
  cores: number
  memoryBytes: number
  freeMemoryBytes: number
  directory: string
  freeDiskBytes: number | undefined
}

/** `branchmerge doctor`: what this build and machine can do. Works, and exits with 1, where the native build is missing. */
export async function runDoctor(args: Record<string, unknown>): Promise<number> {
  const diagnosis = await diagnose()
  if (args.json) printJson(diagnosis)
  else printText(diagnosisText(diagnosis))
  return diagnosis.native ? 0 : 1
}

async function diagnose(): Promise<Diagnosis> {
  return {
    version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch} (${libc()})`,
    ...(await diagnoseNative()),
    trainer: await findTrainer().catch(() => null),
    cores: threadsOfProcess(),
    memoryBytes: memoryOfProcess(),
    freeMemoryBytes: freemem(),
    directory: process.cwd(),
    freeDiskBytes: await freeBytes('.'),
  }
}

function libc(): string {
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
  if (header.glibcVersionRuntime) return `glibc ${header.glibcVersionRuntime}`
  return process.platform === 'linux' ? 'musl' : 'system libc'
}

async function diagnoseNative(): Promise<Pick<Diagnosis, 'native' | 'error'>> {
  try {
    const { native } = await import('../native/native.js')
    return { native: await describeNative(native) }
  } catch (error) {
    return { error: (error as Error).message }
  }
}

async function describeNative(native: Native): Promise<NonNullable<Diagnosis['native']>> {
  const { compiler, instructionSets, bestInstructionSet, ioUring } = native.info()
  return {
    path: loadedAddon(),
    compiler,
    instructionSets,
    instructionSet: requestedInstructionSet(native) ?? bestInstructionSet,
    ioUring,
    cuda: await (await import('../native/devices.js')).devices(),
  }
}

/** The shared object that this process has loaded. */
function loadedAddon(): string | undefined {
  const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] }
  return sharedObjects.find((path) => /branchmerge[^/\\]*\.node$/.test(path))
}

function diagnosisText(diagnosis: Diagnosis): string {
  const { native } = diagnosis
  const rows = [
    ['branchmerge', diagnosis.version],
    ['Node', diagnosis.node],
    ['platform', diagnosis.platform],
    ...(native ? nativeRows(native) : [['native build', 'MISSING']]),
    ['trainer', diagnosis.trainer ?? 'not built, which only sft needs: see docs/sft.md'],
    ['cores', String(diagnosis.cores)],
    ['memory', `${formatBytes(diagnosis.memoryBytes)}, ${formatBytes(diagnosis.freeMemoryBytes)} free`],
    ['disk here', diagnosis.freeDiskBytes === undefined ? 'unknown' : `${formatBytes(diagnosis.freeDiskBytes)} free`],
  ]
  const explanation = diagnosis.error === undefined ? '' : `\n\n${diagnosis.error}`
  return `${formatTable(rows, [])}${explanation}\n`
}

function nativeRows(native: NonNullable<Diagnosis['native']>): string[][] {
  return [
    ['native build', native.path ?? 'loaded'],
    ['compiler', native.compiler],
    ['CPU kernels', `${native.instructionSet} (of ${native.instructionSets.join(', ')})`],
    ['io_uring', native.ioUring ? 'yes' : 'no: plain reads and writes'],
    ...cudaRows(native.cuda),
  ]
}

function cudaRows({ compiled, runtime, driver, unavailable, devices }: DeviceReport): string[][] {
  const versions = compiled ? `${runtime}, driver ${driver === undefined ? 'none' : `for ${driver}`}` : undefined
  const state = unavailable === undefined ? versions : [versions, `not used: ${unavailable}`].filter(Boolean).join('; ')
  return [
    ['CUDA', state as string],
    ...devices.map(({ index, name, computeCapability, memoryBytes, freeMemoryBytes, unusable }) => [
      `cuda:${index}`,
      unusable === undefined
        ? `${name}, ${formatBytes(memoryBytes)}, ${formatBytes(freeMemoryBytes)} free, sm_${computeCapability.replace('.', '')}`
        : `${name}, not used: ${unusable}`,
    ]),
  ]
}
