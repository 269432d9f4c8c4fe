import { render } from 'preact'
import { Shell } from './shell/shell.js'
import './style.css'

const place = document.getElementById('content')
if (place) {
  place.replaceChildren()
  render(<Shell />, place)
}
