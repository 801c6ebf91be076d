/** The files of `fogbank init`: a site of one gateway that starts as it is, and says how it grows. */

export interface TemplateFile {
  /** Relative to the site's folder. */
  readonly path: string;
  readonly text: string;
  /** To be readable by its owner only. */
  readonly isSecret: boolean;
}

/** `secret`: at least 16 unpredictable characters, one line. */
export function starterSite(options: { readonly site: string; readonly secret: string }): readonly TemplateFile[] {
  return [
    file("site.yaml", siteYaml(options.site)),
    { path: "secret", text: `${options.secret}\n`, isSecret: true },
    file(".gitignore", "secret\ndata/\n"),
    file("devices/climate-sensor.yaml", climateSensorYaml),
    file("devices/inventory.yaml", inventoryYaml),
    file("jobs/hourly-climate.yaml", hourlyClimateYaml),
    file("README.md", readme),
  ];
}

function file(path: string, text: string): TemplateFile {
  return { path, text, isSecret: false };
}

const siteYaml = (site: string) => `# A Fogbank site. \`fogbank check\` tells what is wrong with it, by line and column.
site: ${JSON.stringify(site)}
timezone: UTC                            # windows of jobs follow this time zone

# The gateways know each other by this secret. Copy the file to each of them.
secret: \${file:./secret}

# From three gateways on, losing any one of them loses no acknowledged reading. To grow the site, give each gateway
# the address under which the others reach it; this one then listens on all interfaces.
gateways:
  gw-a: { host: 127.0.0.1 }
  # gw-b: { host: 10.0.0.12 }
  # gw-c: { host: 10.0.0.13, zone: hall-2, listen: { mqtt: 1883, mesh: 7883, http: "127.0.0.1:7880" } }

# replication: { factor: 3, write: quorum, read: quorum }    # the defaults

# Without ages everything is kept, and the oldest readings go where less than minFreeDisk is free.
# retention: { raw: 90d, rollup: 2y, minFreeDisk: 10% }

# Beyond loopback, devices need a password: here, or one each in devices/inventory.yaml (the device id is the user name).
# mqtt:
#   users:
#     - { name: sensors, password: "\${env:SENSORS_PASSWORD}" }

# With a token, changes over HTTP are accepted from other hosts too.
# http: { token: "\${env:FOGBANK_TOKEN}" }

devices: ./devices
jobs: ./jobs

sinks:
  archive: { type: file }
`;

const climateSensorYaml = `# Maps sensors/<device>/climate with a payload such as {"ts": 1767225600000, "t": 21.5, "h": 48} to two metrics.
profile: climate-sensor
topic: sensors/{device}/climate          # {device} is the device's id
payload: json                            # json | number | text
timestamp: { path: ts, unit: ms }        # leave it out, and the gateway stamps the readings
metrics:
  temperature: { path: t, unit: Cel, min: -40, max: 125 }
  humidity: { path: h, unit: "%RH", min: 0, max: 100 }
`;

const inventoryYaml = `# Known devices. Others are accepted too; what stands here gives them labels, which jobs select and group by.
devices:
  room-1: { profile: climate-sensor, labels: { room: kitchen, floor: "1" } }
  room-2: { profile: climate-sensor, labels: { room: office, floor: "2" } }
`;

const hourlyClimateYaml = `# Every hour: the hour that has ended, for each room.
name: hourly-climate
schedule: "0 * * * *"
window: 1h
source: { metric: temperature, devices: "*" }
groupBy: [label.room]
aggregate: { mean: mean, max: max, p95: quantile(0.95), n: count }
sinks: [archive]
`;

const readme = `# A Fogbank site

    fogbank check                        # is everything in order?
    fogbank start                        # this host's gateway, in the foreground
    fogbank status                       # in another terminal

Publish a reading with any MQTT client, for example

    mosquitto_pub -p 1883 -q 1 -t sensors/room-1/climate -m '{"ts": '$(date +%s000)', "t": 21.5, "h": 48}'

and ask for it with \`fogbank query temperature\`. The results of \`jobs/\` come with \`fogbank job results hourly-climate\`.

- \`site.yaml\`: gateways, replication, sinks
- \`secret\`: shared by all gateways of the site; keep it to yourself
- \`devices/\`: a profile for each kind of device, and the inventory
- \`jobs/\`: aggregations on a schedule
`;
