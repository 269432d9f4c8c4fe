import { text } from '../text/en.js'
import type { Statistics } from './answers.js'

const t = text.front
const WIDTH = 900
const HEIGHT = 100

type Days = Statistics['perDay']

/** Bars, one a day. What they show stands in words before them and in a table behind them. */
export const Chart = ({ days }: { days: Days }) => {
  const total = days.reduce((sum, { issued }) => sum + issued, 0)
  const most = days.reduce((best, one) => (one.issued > best.issued ? one : best), days[0] ?? { day: '', issued: 0, revoked: 0 })
  const step = WIDTH / Math.max(days.length, 1)
  const first = days[0]
  const last = days.at(-1)
  return (
    <figure class="chart">
      <figcaption>
        {t.chart}.{' '}
        <span class="quiet">{total > 0 ? t.chartSummary(text.number(total), text.number(most.issued), text.day(most.day)) : t.chartNone}</span>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={t.chart}>
        {days.map(({ day, issued }, index) => {
          const height = issued === 0 ? 0 : Math.max(2, (issued / most.issued) * HEIGHT)
          return (
            <rect key={day} x={index * step + 1} y={HEIGHT - height} width={Math.max(step - 2, 1)} height={height}>
              <title>{t.bar(text.day(day), issued)}</title>
            </rect>
          )
        })}
      </svg>
      {first && last && (
        <p class="ends" aria-hidden="true">
          <span>{text.day(first.day)}</span>
          <span>{text.day(last.day)}</span>
        </p>
      )}
      <details>
        <summary>{t.table}</summary>
        <DayTable days={days} />
      </details>
    </figure>
  )
}

const DayTable = ({ days }: { days: Days }) => (
  <table>
    <thead>
      <tr>
        <th scope="col">{t.dayColumn}</th>
        <th scope="col">{t.issuedColumn}</th>
        <th scope="col">{t.revokedColumn}</th>
      </tr>
    </thead>
    <tbody>
      {[...days].reverse().map(({ day, issued, revoked }) => (
        <tr key={day}>
          <th scope="row">{text.day(day)}</th>
          <td>{text.number(issued)}</td>
          <td>{text.number(revoked)}</td>
        </tr>
      ))}
    </tbody>
  </table>
)
