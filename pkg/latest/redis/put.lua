-- Keeps the newest reading of each device, and returns for how many it was new. The keys of one call are the
-- index of the devices that are online, then the key of each device, each once. The arguments are the channel
-- for changes and the time (ms since 1970), then for each device the time when its reading expires, and the
-- reading.

-- A reading's own timestamp; all have one length, so texts compare as times do. The members in front of it
-- are numbers and null, so the first match is the one. Nil for a value that Telltale did not write.
local function timestamp(reading)
  return reading and string.match(reading, '"timestamp":"(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ)"')
end

local index, channel, now = KEYS[1], ARGV[1], ARGV[2]
local accepted = 0
local kept = redis.call('MGET', unpack(KEYS, 2)) -- false for what is missing or no string
for i = 1, #kept do
  local key, expires, reading = KEYS[i + 1], ARGV[2 * i + 1], ARGV[2 * i + 2]
  local old = timestamp(kept[i])
  if not old or old < timestamp(reading) then
    redis.call('ZADD', index, expires, key)
    redis.call('PUBLISH', channel, reading)
    redis.call('SET', key, reading, 'PX', expires - now) -- last: after an error above, a repetition does all
    accepted = accepted + 1
  end
end

-- What expired a minute ago leaves the index. The minute covers clocks that differ; until then readers
-- find no value under the key.
redis.call('ZREMRANGEBYSCORE', index, '-inf', now - 60000)
return accepted
