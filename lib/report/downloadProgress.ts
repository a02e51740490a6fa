import type { DownloadProgress } from '../hub/download.js'
import { formatPercent } from '../text/format.js'
import { formatBytes, formatDuration, formatRate } from '../text/formatUnits.js'
import { type ProgressStream, progressLine } from './progressLine.js'

/** Shows how far a download is, with the rate since it began and the time left; what was there before has no rate. */
export function downloadReporter(
  stream: ProgressStream,
  clock: () => number = () => performance.now() / 1000,
): { update(progress: DownloadProgress): void; end(): void } {
  let start: { time: number; bytes: number; total: number } | undefined
  const line = progressLine<DownloadProgress>(
    stream,
    (progress, now) => {
      const { time, bytes } = start as { time: number; bytes: number }
      return describe(progress, progress.bytesDone - bytes, now - time)
    },
    clock,
  )
  return {
    update(progress) {
      const { bytesDone: bytes, bytesTotal: total } = progress
      if (start?.total !== total) start = { time: clock(), bytes, total }
      line.update(progress)
    },
    end: line.end,
  }
}

function describe(progress: DownloadProgress, bytes: number, seconds: number): { fraction: number; text: string } {
  const { bytesDone, bytesTotal, filesDone, filesTotal } = progress
  const fraction = bytesTotal > 0 ? bytesDone / bytesTotal : 1
  const left = bytes > 0 ? formatDuration((seconds * (bytesTotal - bytesDone)) / bytes) : '?'
  const text =
    `Downloading  ${formatPercent(fraction)}  ${filesDone}/${filesTotal} files  ` +
    `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}  ${formatRate(bytes, seconds)}  ${left} left`
  return { fraction, text }
}

/** The progress of what is done with the files after they were fetched; its clock starts with its first word. */
export function progressAfterDownload<P>(
  stream: ProgressStream,
  reporter: (stream: ProgressStream) => { update(progress: P): void; end(): void },
): { update(progress: P): void; download(progress: DownloadProgress): void; end(): void } {
  const downloads = downloadReporter(stream)
  let work: { update(progress: P): void; end(): void } | undefined
  return {
    download: downloads.update,
    update(progress) {
      if (!work) downloads.end()
      work ??= reporter(stream)
      work.update(progress)
    },
    end() {
      downloads.end()
      work?.end()
    },
  }
}
