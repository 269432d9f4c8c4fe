import { servers } from '../../../src/app-paths.js'
import { text } from '../text/en.js'

/** Links to the instructions for each server's software, but for the one that is shown. */
export const Servers = ({ but }: { but?: string }) => (
  <ul class="chips">
    {servers
      .filter((server) => server !== but)
      .map((server) => (
        <li key={server}>
          <a class="button" href={`/servers/${server}`}>
            {text.servers.names[server]}
          </a>
        </li>
      ))}
  </ul>
)
